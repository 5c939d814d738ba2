/* The start of a program on a RISC-V: QEMU jumps to the first address. */
#include <stdint.h>

void start(void);
intptr_t ask_computer(int operation, const void *argument);

__attribute__((naked, section(".start"), used)) void start(void)
{
    __asm__ volatile("la sp, stack_end\n\tj judge");
}

/* Three instructions of 32 bits in one page are the sign for the computer. */
intptr_t ask_computer(int operation, const void *argument)
{
    register intptr_t a0 __asm__("a0") = operation;
    register const void *a1 __asm__("a1") = argument;
    __asm__ volatile(".option push\n\t.option norvc\n\t.balign 16\n\t"
                     "slli x0, x0, 0x1f\n\tebreak\n\tsrai x0, x0, 7\n\t.option pop"
                     : "+r"(a0)
                     : "r"(a1)
                     : "memory");
    return a0;
}

/* The start of a program on a Cortex-M: the processor reads the end of the stack and the first function from address 0.
 */
#include <stdint.h>

extern uint32_t data_begin[], data_end[], data_in_flash[], bss_begin[], bss_end[], stack_end[];
int main(void);
void reset(void);
void stop(void);

/* A board with interrupts adds its functions here, in the order of its reference manual. */
__attribute__((section(".vectors"), used)) static void* const vectors[] = {
    stack_end,
    (void*)reset,
    (void*)stop,
    (void*)stop,
};

void reset(void) {
  const uint32_t* from = data_in_flash;
  volatile uint32_t* to; /* volatile: no call of memcpy or memset */
  for (to = data_begin; to < data_end; to++) {
    *to = *from++;
  }
  for (to = bss_begin; to < bss_end; to++) {
    *to = 0;
  }
  main();
  stop();
}

void stop(void) {
  for (;;) {
  }
}

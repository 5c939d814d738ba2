/* An emulated Arduino Uno whose serial port is this program's: uno PROGRAM.elf < IMAGES.

For each ">" that the board writes it gets the next 28 bytes of the input. Everything else is printed. At the end of the
input, the last line has the clock cycles of the last image and the lowest address that the stack has reached. */
#include <simavr/avr_uart.h>
#include <simavr/sim_avr.h>
#include <simavr/sim_elf.h>
#include <simavr/sim_io.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROW = 28, STACK_POINTER = 0x5d };

static avr_t* avr;
static avr_irq_t* input;
static avr_cycle_count_t begun, taken;
static int is_over, rows;

static void on_output(avr_irq_t* irq, uint32_t value, void* param) {
  (void)irq, (void)param;
  if (value != '>') {
    putchar((int)value);
    if (value == '\n') {
      taken = avr->cycle - begun;
      rows = 0;
    }
    return;
  }
  begun = rows++ == 0 ? avr->cycle : begun;
  for (int i = 0; i < ROW; i++) {
    const int byte = getchar();
    if (byte == EOF) {
      is_over = 1;
      return;
    }
    avr_raise_irq(input, (uint32_t)byte);
  }
}

int main(int count, char** arguments) {
  elf_firmware_t program;
  unsigned lowest = 0xffff;
  setvbuf(stdout, 0, _IOLBF, 0);
  memset(&program, 0, sizeof program);
  if (count != 2 || elf_read_firmware(arguments[1], &program)) {
    return 2;
  }
  avr = avr_make_mcu_by_name("atmega328p");
  avr_init(avr);
  program.frequency = 16000000;
  avr_load_firmware(avr, &program);
  uint32_t flags = 0;
  avr_ioctl(avr, AVR_IOCTL_UART_SET_FLAGS('0'), &flags);
  input = avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_INPUT);
  avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_OUTPUT), on_output, 0);
  while (!is_over) {
    const int state = avr_run(avr);
    const unsigned pointer = avr->data[STACK_POINTER] | avr->data[STACK_POINTER + 1] << 8;
    if (state == cpu_Done || state == cpu_Crashed) {
      return 1;
    }
    lowest = pointer > 0x100 && pointer < lowest ? pointer : lowest;
  }
  printf("%llu %u\n", (unsigned long long)taken, lowest);
  return 0;
}

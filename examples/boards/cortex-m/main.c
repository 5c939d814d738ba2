/* Classifies the digit in digit.h, an image in memory, and says its class. */
#include "digit.h"
#include "net_int8.h"

typedef char picture_fits_the_network[NET_CHANNELS == 1 && NET_HEIGHT == 28 && NET_WIDTH == 28 ? 1 : -1];

static struct net net;
static uint8_t image[28 * 28];

enum { WRITE_TEXT = 4, EXIT = 24, APPLICATION_EXIT = 0x20026 };

/* Asks the computer beside the chip to do something: the debugger's interface that ARM calls semihosting. QEMU answers,
   and so does a debugger. A chip alone has none: write to your serial port there. */
static void ask_computer(int operation, const void* argument) {
  register int r0 __asm__("r0") = operation;
  register const void* r1 __asm__("r1") = argument;
  __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

int main(void) {
  int32_t logits[NET_CLASSES];
  char answer[] = "class ?\n";
  int y, x;
  for (y = 0; y < 28; y++) {
    for (x = 0; x < 28; x++) {
      image[28 * y + x] = picture[y][x] == ' ' ? 0 : 255;
    }
  }
  net_run(&net, image, logits);
  answer[6] = (char)('0' + net_class(logits));
  ask_computer(WRITE_TEXT, answer);
  ask_computer(EXIT, (const void*)APPLICATION_EXIT);
  return 0;
}

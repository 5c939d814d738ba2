/* Classifies digits on an Arduino Uno: first the one in digit.h, then images that the computer sends.

Put net_int8.h and net_int8.c of an export beside this file, and digit.h. The serial port has 500,000 baud. The board writes
">" when it wants a row of 28 pixels, each a byte 0...255; after the last row it writes the class. Rows come one by one, so
no image is ever in memory, and the board never misses a pixel.

The port is used without the class Serial of Arduino, whose buffers take 160 bytes of the 2,048. */
#include <avr/pgmspace.h>

#include "net_int8.h"
#define PICTURE_IN PROGMEM
#include "digit.h"

static_assert(NET_CHANNELS == 1 && NET_HEIGHT == 28 && NET_WIDTH == 28, "the picture has 28 rows of 28 grey pixels");

static struct net net;

static void write_byte(uint8_t byte)
{
    UDR0 = byte;
    while (!(UCSR0A & (1 << UDRE0))) { /* afterwards: simavr 1.6 does not set the flag before the first byte */
    }
}

static uint8_t read_byte()
{
    while (!(UCSR0A & (1 << RXC0))) {
    }
    return UDR0;
}

static void read_row_of_picture(uint8_t *row, uint8_t y)
{
    for (uint8_t x = 0; x < NET_WIDTH; x++) {
        row[x] = pgm_read_byte(&picture[y][x]) == ' ' ? 0 : 255;
    }
}

static void read_row_of_port(uint8_t *row, uint8_t)
{
    write_byte('>');
    for (uint8_t x = 0; x < NET_WIDTH; x++) {
        row[x] = read_byte();
    }
}

/* Classifies an image that comes row by row, and writes its class. */
static void classify(void (*read_row)(uint8_t *row, uint8_t y))
{
    uint8_t row[NET_WIDTH];
    int32_t logits[NET_CLASSES];
    for (uint8_t y = 0; y < NET_HEIGHT; y++) {
        read_row(row, y);
        net_push_row(&net, row, logits);
    }
    write_byte('0' + net_class(logits));
    write_byte('\n');
}

void setup()
{
    UBRR0 = 1; /* 16 MHz / 16 / (1 + 1) = 500,000 baud, without an error */
    UCSR0B = 1 << RXEN0 | 1 << TXEN0;
    net_start(&net);
    classify(read_row_of_picture);
}

void loop()
{
    classify(read_row_of_port);
}

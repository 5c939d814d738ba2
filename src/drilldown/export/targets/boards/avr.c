/* Runs test images from the flash, and writes clock cycles and logits of each to the serial port.

Timer 1 counts the cycles in steps of 1024. The cycles of a step that has begun are lost, so a count is up to 1024 too
low or too high. */
#include <avr/interrupt.h>
#include <avr/io.h>
#include <avr/pgmspace.h>
#include <avr/sleep.h>

#include "images.h"
#include "net_int8.h"

static volatile uint16_t overflows;
static struct net net;
static uint8_t image[NET_HEIGHT * NET_WIDTH * NET_CHANNELS];
static int32_t logits[NET_CLASSES];

ISR(TIMER1_OVF_vect)
{
    overflows++;
}

/* Returns the time in steps. */
static uint32_t now(void)
{
    uint32_t steps;
    cli();
    steps = TCNT1;
    if (TIFR1 & 1 << TOV1) { /* the timer started again from 0 after the interrupts stopped */
        steps = TCNT1 + 0x10000;
    }
    steps += (uint32_t)overflows << 16;
    sei();
    return steps;
}

static void write_byte(uint8_t byte)
{
    while (!(UCSR0A & (1 << UDRE0))) {
    }
    UDR0 = byte;
}

/* Writes a number as eight hexadecimal digits, and an end. */
static void write_number(uint32_t number, uint8_t end)
{
    int8_t shift;
    for (shift = 28; shift >= 0; shift -= 4) {
        const uint8_t digit = (number >> shift) & 15;
        write_byte(digit < 10 ? '0' + digit : 'a' + digit - 10);
    }
    write_byte(end);
}

int main(void)
{
    uint16_t i;
    uint8_t c;
    UCSR0B = 1 << TXEN0;
    TCCR1B = 1 << CS12 | 1 << CS10; /* 1024 cycles a step */
    TIMSK1 = 1 << TOIE1;
    for (i = 0; i < IMAGES; i++) {
        uint32_t begin, steps;
        memcpy_P(image, images[i], sizeof image);
        begin = now();
        net_run(&net, image, logits);
        steps = now() - begin;
        write_number(steps * 1024, ' ');
        for (c = 0; c < NET_CLASSES; c++) {
            write_number((uint32_t)logits[c], c + 1 < NET_CLASSES ? ' ' : '\n');
        }
    }
    cli();
    sleep_enable();
    sleep_cpu(); /* without interrupts: the end */
    return 0;
}

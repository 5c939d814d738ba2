/* A digit to classify: draw another one with your editor. A blank is the pixel 0, any other character is 255. */
#ifndef PICTURE_IN
#define PICTURE_IN /* the place of the picture in memory: PROGMEM on an AVR */
#endif

static const char picture[28][29] PICTURE_IN = {
    "                            ",
    "                            ",
    "                            ",
    "                            ",
    "                            ",
    "                            ",
    "       ##############       ",
    "       ##############       ",
    "       ##############       ",
    "                  ###       ",
    "                  ###       ",
    "                 ###        ",
    "                 ###        ",
    "                ###         ",
    "               ###          ",
    "               ###          ",
    "              ###           ",
    "              ###           ",
    "             ###            ",
    "            ###             ",
    "            ###             ",
    "           ###              ",
    "          ###               ",
    "                            ",
    "                            ",
    "                            ",
    "                            ",
    "                            ",
};

// Where a pixel lies. README.md in this folder has the drawing.
#pragma once

#include "lanes.hpp"

// A tile's images between two layers: [channel][row][column][LANES], in floats.
//
// The layer that reads them says how much room they get: a border of zeros, so that a kernel may look beyond the edge
// without asking, and zeros between the pixels, for the gradient of a convolution with a stride.
struct Layout {
  int channels = 0, height = 0, width = 0;
  int border = 0;             // rows of zeros above, columns of zeros on the left
  int spacing = 1;            // from one pixel to the next
  int rows = 0, columns = 0;  // stored, zeros included

  static Layout plain(int channels, int height, int width) { return bordered(channels, height, width, 0); }
  static Layout bordered(int channels, int height, int width, int border) {
    return {channels, height, width, border, 1, height + 2 * border, width + 2 * border};
  }

  long step() const { return long(spacing) * LANES; }
  long row() const { return long(spacing) * columns * LANES; }
  long plane() const { return long(rows) * columns * LANES; }
  long size() const { return channels * plane(); }
  long at(int channel, int y, int x) const {
    return channel * plane() + (long(border + y * spacing) * columns + border + x * spacing) * LANES;
  }
};

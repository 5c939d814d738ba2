// Where a pixel lies in memory. README.md in this folder has a drawing.
#pragma once

#include "lanes.hpp"

namespace drilldown {

// The images of a tile between two layers: [channel][row][column][LANES], in floats.
//
// The layer that reads them chooses the layout. A border of zeros lets a kernel read beyond the edge without a test.
// Zeros between the pixels serve the gradient of a convolution with a stride.
struct Layout {
  int channels = 0, height = 0, width = 0;
  int border = 0;             // rows of zeros above, columns of zeros on the left
  int spacing = 1;            // distance between pixels
  int rows = 0, columns = 0;  // stored, including zeros

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

}  // namespace drilldown

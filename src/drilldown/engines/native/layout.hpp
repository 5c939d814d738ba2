// Where a pixel lies in memory. README.md in this folder has a drawing.
#pragma once

#include "lanes.hpp"

namespace drilldown {

// The images of a tile between two layers: [channel][row][column][LANES], in floats.
//
// The layer that reads them chooses the layout. A border of zeros lets a kernel read beyond the edge without a test.
struct Layout {
  int channels = 0, height = 0, width = 0;
  int border = 0;             // rows of zeros above, columns of zeros on the left
  int rows = 0, columns = 0;  // stored, including zeros

  static Layout plain(int channels, int height, int width) { return bordered(channels, height, width, 0); }
  static Layout bordered(int channels, int height, int width, int border) {
    return {channels, height, width, border, height + 2 * border, width + 2 * border};
  }

  long step() const { return LANES; }
  long row() const { return long(columns) * LANES; }
  // An odd number of cache lines (16 floats), so that the same pixel of all channels finds a place in the cache.
  long plane() const { return ((long(rows) * columns * LANES + 15) / 16 | 1) * 16; }
  long size() const { return channels * plane(); }
  long at(int channel, int y, int x) const {
    return channel * plane() + (long(border + y) * columns + border + x) * LANES;
  }
};

}  // namespace drilldown

// The strip of the bfloat16 tiles: the part of an image that a box of target pixels needs, copied
// with its padding so that the pixels which neighbouring targets read follow each other through the
// whole box.
//
// Layout: [channel block][depth][row phase][column phase][row][column][width]. Rows and columns are
// sorted by their remainder modulo the stride; so target (row, column) of a box, counted as
// row * columns + column, is the same step in memory for every tap and stride. The targets in the
// last columns of a row reach into the next row; nobody stores them.
#pragma once

#include <vector>

#include "core/bf16.hpp"
#include "ops/conv_gather.hpp"
#include "ops/conv_pieces.hpp"

namespace voxelgrad {

struct TileStrip {
    std::int64_t box[conv_axes];     // target pixels, the largest box
    std::int64_t extent[conv_axes];  // source pixels that it needs
    std::int64_t unit[conv_axes];    // the stride: number of phases
    std::int64_t rows, columns;      // of one phase
    std::int64_t width;              // elements of a pixel: 32, or few channels rounded up
    std::int64_t block_stride;       // elements of a channel block
    std::int64_t size;               // elements, with what the last targets read beyond the end

    // Elements from the strip's start to the source pixel `relative` (axes: depth, row, column).
    std::int64_t offset(std::int64_t depth, std::int64_t row, std::int64_t column) const;
    std::int64_t blocks(std::int64_t channels) const;
    std::int64_t depth_stride() const { return unit[0] * block_stride / extent[0]; }
};

// The largest box whose strip stays within `budget` elements (one pixel at the least).
TileStrip plan_tile_strip(const GatherPhase& whole, std::int64_t channels, std::int64_t budget);

struct TileSource {
    ImagePieces<const bf16> pieces;
    const std::int64_t* extent;  // of an image
    std::int64_t image;          // number
    std::int64_t first;          // channel wanted
    std::int64_t channels;       // wanted
};

// One line of a strip: `strip.columns` pixels of a column phase of a row, of the channel block that
// begins with channel `start`. depth and row count from the strip's first source pixel, `origin`.
void fill_tile_line(const TileStrip& strip, const TileSource& source, const std::int64_t* origin,
                    std::int64_t depth, std::int64_t row, std::int64_t phase, std::int64_t start,
                    bf16* data);

// Fills the strip for the box whose first source pixel is `origin` (negative in the padding).
void fill_tile_strip(const TileStrip& strip, const TileSource& source, const std::int64_t* origin,
                     bf16* data);

// One step of a product: a window of pixels at `offset`, and the taps that lie in it.
struct TileStep {
    std::int64_t offset;  // elements from the strip's start, channel block zero
    struct Tap {
        std::int64_t number, slot;  // slot: pixels from the window's start
    };
    std::vector<Tap> taps;
};

// The taps of `phase` as steps: one each, or with few channels as many as a window holds.
std::vector<TileStep> tile_steps(const TileStrip& strip, const GatherPhase& whole,
                                 const GatherPhase& phase);

}  // namespace voxelgrad

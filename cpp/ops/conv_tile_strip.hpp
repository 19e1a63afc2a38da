// The strip of the bfloat16 tiles: the part of an image that a box of target pixels needs, copied
// with its padding so that the pixels which neighbouring targets read follow each other through the
// whole box.
//
// Layout: [channel block][depth phase][row phase][column phase][depth][row][column][width]. All
// three are sorted by their remainder modulo the stride; so target (depth, row, column) of a box,
// counted as (depth * rows + row) * columns + column, is the same step in memory for every tap and
// stride. The targets in the last columns of a row reach into the next row, those in the last rows
// of a slice into the next slice; nobody stores them.
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
    std::int64_t depth_stride() const { return rows * columns * width; }
    std::int64_t lines() const { return extent[0] * unit[1] * unit[2] * rows; }  // of a block
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

// Line number `line` of a channel block: `strip.columns` pixels. The block begins with channel
// `start`, the strip with the source pixel `origin`.
void fill_tile_line(const TileStrip& strip, const TileSource& source, const std::int64_t* origin,
                    std::int64_t line, std::int64_t start, bf16* data);

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

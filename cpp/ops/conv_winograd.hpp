// What the Winograd passes share: the tiles of a grid, cut into blocks.
//
// A kernel of (depth, 3, 3) is transformed in its last two axes; the depth taps are summed among
// the frequencies, where they cost four times less than in space.
#pragma once

#include "ops/conv_gather.hpp"
#include "ops/conv_pass.hpp"

namespace voxelgrad {

constexpr std::int64_t most_depth_taps = 16;

struct WinogradTiles {
    std::int64_t rows, columns;  // tiles of an image
    std::int64_t count;          // of all images
    std::int64_t block;          // tiles of a block
    std::int64_t depth, slices;  // target slices of a block; source slices that they need
    std::int64_t blocks, depth_blocks;
    std::int64_t depth_taps;

    std::int64_t frequency_size(std::int64_t channels) const;  // floats of one frequency
};

// Tiles of `phase` in blocks that the caches hold, for sources of `channels`.
WinogradTiles plan_tiles(const GatherPhase& phase, std::int64_t batch, std::int64_t channels);

// Where a block's tile lies: image and the index of its first target pixel.
struct TilePlace {
    std::int64_t image, row, column;
};
TilePlace place_of(const WinogradTiles& tiles, std::int64_t tile);

// Transforms the source patches of tiles [first, first + count) for all slices of the depth block
// that starts at target slice `depth`: [frequency][channel block][slice][tile][16].
void transform_source(const Pass& pass, const GatherPhase& phase, const WinogradTiles& tiles,
                      std::int64_t first, std::int64_t count, std::int64_t depth,
                      float* frequencies);

bool winograd_accepts(const ConvGeometry& geometry);
void conv_winograd_weight_gradient(const ConvGeometry& geometry, const float* fine,
                                   const float* coarse, float* grad_weight);

}  // namespace voxelgrad

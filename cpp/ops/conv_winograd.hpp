// What the Winograd passes share: the tiles of a grid, cut into blocks.
//
// A kernel of (depth, 3, 3) is transformed in its last two axes; the depth taps are summed among
// the frequencies, where they cost four times less than in space.
#pragma once

#include "core/pool.hpp"
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

// Tiles of `phase` in blocks that the caches hold, for sources of `channels`; never fewer than
// `smallest` tiles in a block, where there are so many.
WinogradTiles plan_tiles(const GatherPhase& phase, std::int64_t batch, std::int64_t channels,
                         std::int64_t smallest);

// Where a block's tile lies: image and the index of its first target pixel.
struct TilePlace {
    std::int64_t image, row, column;
};
TilePlace place_of(const WinogradTiles& tiles, std::int64_t tile);

// The source patches of blocks of tiles, all slices of their depth block, transformed:
// [frequency][channel block][slice][tile][16]. Blocks that several tasks read are computed once,
// before the tasks run; otherwise each task transforms its block into memory of its own.
class SharedSource {
 public:
    SharedSource(const Pass& pass, const GatherPhase& phase, const WinogradTiles& tiles,
                 bool wanted);

    // The frequencies of unit = depth block * blocks + block; computed into `own` unless shared.
    const float* block(std::int64_t unit, float* own) const;
    std::int64_t own_size() const { return wanted_ ? 1 : block_size_; }

 private:
    void transform(std::int64_t unit, float* frequencies) const;

    const Pass& pass_;
    const GatherPhase& phase_;
    const WinogradTiles& tiles_;
    bool wanted_;
    std::int64_t block_size_;
    Workspace<float> shared_;
};

bool winograd_accepts(const ConvGeometry& geometry);
void conv_winograd_weight_gradient(const ConvGeometry& geometry, const float* fine,
                                   const float* coarse, float* grad_weight);

}  // namespace voxelgrad

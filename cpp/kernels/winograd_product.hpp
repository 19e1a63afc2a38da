// The matrix products of Winograd convolution: for each frequency, tiles x channels times
// channels x channels, or the same turned round for the gradient of the weight.
//
// Frequencies of tiles lie as [channel block][tile][16]: the broadcasts of a register block have
// constant offsets.
#pragma once

#include <cstdint>

#include "kernels/conv_direct.hpp"

namespace voxelgrad {

struct WinogradProduct {
    const float* source;        // first tile
    std::int64_t block_stride;  // floats from one channel block to the next
    std::int64_t channels;
    const float* weight;       // [channel][panel]
    std::int64_t next_weight;  // floats to the weight of the next product, which is fetched ahead
    float* target;             // [tile][panel]
    std::int64_t tiles;
    bool whole_panel;  // otherwise only the first half of it is wanted
    bool add;          // to what `target` holds; otherwise it is overwritten
};

struct WinogradGradient {
    const float* left;         // [tile][16]: one row of sums for each of its channels
    const float* right;        // the panel's first channel block
    std::int64_t right_block;  // floats from one channel block of it to the next
    std::int64_t tiles;
    int left_channels;  // 1 .. 16
    bool whole_panel;   // otherwise only the first half of it is wanted
    float* sums;        // [left channel][panel]
    bool add;           // to what `sums` holds; otherwise it is overwritten
};

struct WinogradProductKernels {
    int panel;  // channels that are computed together
    // Sums over channels in order.
    void (*product)(const WinogradProduct&);
    // Sums over tiles in order.
    void (*gradient)(const WinogradGradient&);
};

VOXELGRAD_KERNEL_TABLE(WinogradProductKernels, winograd_product)

}  // namespace voxelgrad

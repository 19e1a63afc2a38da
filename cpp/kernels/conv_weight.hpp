// The innermost loop of the weight gradient: for one tap and a block of strip channels, or for a
// run of taps, sums over pixels of (strip value) x (panel of the other grid's channels).
#pragma once

#include <cstdint>

#include "kernels/conv_direct.hpp"

namespace voxelgrad {

struct ConvWeightBlock {
    const float* coarse;  // [row][pixel][panel]
    const float* strip;   // as in conv_direct.hpp: the tap's first pixel in this channel block
    const std::int64_t* row_offset;  // in the strip, floats, one per row
    std::int64_t rows, pixels;
    int channels;                           // of the strip, side by side
    int coarse_channels;                    // of the panel: 1 .. panel
    float* sums;                            // [channel][panel]
    bool add;                               // to what `sums` holds; otherwise it is overwritten
    std::int64_t pixel_step = strip_block;  // in the strip, floats
};

struct ConvWeightKernels {
    int panel;
    // Sums over rows, then pixels, in order.
    void (*block)(const ConvWeightBlock&);
    // Copies pixels of `channels` values into panels, zero beyond the last.
    void (*pack)(const float* source, std::int64_t source_stride, float* panels,
                 std::int64_t pixels, int channels);
};

VOXELGRAD_KERNEL_TABLE(ConvWeightKernels, conv_weight)

}  // namespace voxelgrad

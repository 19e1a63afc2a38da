// The innermost loop of direct convolution with few target channels: vectors run over pixels.
//
// Source pixels are read from a strip in planes, [channel][depth][row][column], so that a vector
// holds one channel of neighbouring pixels; the weights are broadcast.
#pragma once

#include "kernels/conv_direct.hpp"

namespace voxelgrad {

constexpr std::int64_t planar_channels = 8;  // output channels at once, at most
constexpr std::int64_t planar_slack = 16;    // floats behind a row of the strip that may be read

struct ConvPlanarKernels {
    // A row of pixels times up to 8 output channels. The strip's blocks are planes of one channel;
    // weight is [channel][tap][output channel]. Sums over channels, then taps, each in order.
    // Never writes past the cache.
    void (*row)(const ConvRow&);
};

VOXELGRAD_KERNEL_TABLE(ConvPlanarKernels, conv_planar)

}  // namespace voxelgrad

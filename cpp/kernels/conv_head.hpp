// Convolution with one tap and few target channels, such as the head of a segmentation network:
// each pixel's channels are multiplied with the weight of every target channel and summed across
// the vector. The source is read once, in one sweep, and nothing is copied.
#pragma once

#include <cstdint>

#include "kernels/dispatch.hpp"

namespace voxelgrad {

constexpr std::int64_t head_channels = 8;  // of the target, at most

struct ConvHeadKernels {
    // target (pixels, targets) = bias + source (pixels, channels) * weight (targets, channels)^T,
    // times `slope` where negative; bias may be null. As many interleaved partial sums as a vector
    // has lanes, added in a tree.
    void (*row)(const float* source, const float* weight, const float* bias, float slope,
                float* target, std::int64_t pixels, std::int64_t channels, int targets);
};

VOXELGRAD_KERNEL_TABLE(ConvHeadKernels, conv_head)

}  // namespace voxelgrad

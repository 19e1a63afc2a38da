// Convolution with one tap and few target channels, such as the head of a segmentation network: a
// product of all pixels with a small matrix, and its gradients. The large side is read or written
// once, in one sweep, and nothing is copied.
#pragma once

#include <cstdint>

#include "kernels/dispatch.hpp"

namespace voxelgrad {

constexpr std::int64_t head_channels = 8;  // of the target, at most

// source (pixels, channels) and target (pixels, targets) of type T, weight (targets, channels).
template <class T>
struct ConvHeadKernels {
    // target = bias + source * weight^T, times `slope` where negative; bias may be null. As many
    // interleaved partial sums as a vector has lanes, added in a tree.
    void (*forward)(const T* source, const float* weight, const float* bias, float slope, T* target,
                    std::int64_t pixels, std::int64_t channels, int targets);
    // source = target * weight. Past the cache: whole aligned lines only; ends with a fence.
    void (*backward)(const T* target, const float* weight, T* source, std::int64_t pixels,
                     std::int64_t channels, int targets, bool past_cache);
    // sums (targets, channels) = target^T * source.
    void (*weight_gradient)(const T* source, const T* target, float* sums, std::int64_t pixels,
                            std::int64_t channels, int targets);
};

VOXELGRAD_TYPED_KERNEL_TABLES(ConvHeadKernels, conv_head)

}  // namespace voxelgrad

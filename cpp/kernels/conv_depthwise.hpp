// Depthwise convolution: every channel has one kernel of its own, so vectors run over channels.
#pragma once

#include <cstdint>

#include "kernels/dispatch.hpp"

namespace voxelgrad {

// A run of pixels of which every tap sees a pixel inside the image.
struct DepthwiseRun {
    const float* const* source;  // what each tap sees at the first pixel
    const std::int64_t* number;  // of each tap: where its weights are
    std::int64_t taps;
    std::int64_t source_stride;  // floats from one pixel's source to the next one's
    std::int64_t target_stride;
    std::int64_t pixels, channels;
};

struct DepthwiseKernels {
    // target[pixel][c] = bias[c] + sum over taps of source[tap][pixel][c] * weight[number][c], taps
    // in order, times `slope` where negative; bias may be null. stream: past the cache, whole
    // aligned cache lines, to be fenced before another thread may read.
    void (*weigh)(const DepthwiseRun&, const float* weight, const float* bias, float slope,
                  float* target, bool stream);
    // sums[number][c] += sum over pixels, in order, of source[tap][pixel][c] * target[pixel][c]
    void (*correlate)(const DepthwiseRun&, const float* target, float* sums);
};

VOXELGRAD_KERNEL_TABLE(DepthwiseKernels, depthwise)

}  // namespace voxelgrad

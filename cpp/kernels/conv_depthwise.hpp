// Depthwise convolution: every channel has one kernel of its own, so vectors run over channels.
#pragma once

#include <cstdint>

#include "kernels/dispatch.hpp"

namespace voxelgrad {

struct DepthwiseKernels {
    // output[pixel][c] += input[pixel][c] * weight[c]
    void (*multiply_add_row)(const float* input, std::int64_t input_stride, const float* weight,
                             float* output, std::int64_t output_stride, std::int64_t pixels,
                             std::int64_t channels);
    // sums[c] += sum over pixels of a[c] * b[c]
    void (*dot_row)(const float* a, std::int64_t a_stride, const float* b, std::int64_t b_stride,
                    float* sums, std::int64_t pixels, std::int64_t channels);
};

VOXELGRAD_KERNEL_TABLE(DepthwiseKernels, depthwise)

}  // namespace voxelgrad

// Sums over positions and pointwise passes of the norms.
//
// An array of `count` floats is read as rows of `period` values (the last row may be shorter);
// per-column arguments and results have `period` entries. A period is the number of channels, or a
// multiple of it that fills whole vectors.
#pragma once

#include <cstdint>

#include "kernels/dispatch.hpp"

namespace voxelgrad {

struct NormKernels {
    // sum[c] = sum of x, square[c] = sum of x * x, over the rows in order, in double.
    void (*moments)(const float* x, std::int64_t count, std::int64_t period, double* sum,
                    double* square);
    // sum[c] = sum of grad, product[c] = sum of grad * (x - mean[c]), likewise.
    void (*gradient_sums)(const float* grad, const float* x, const float* mean, std::int64_t count,
                          std::int64_t period, double* sum, double* product);
    // y = (x - mean[c]) * scale[c] + shift[c]; y may be x. past_cache: y is written with stores
    // past the cache; y must be aligned to 64 bytes and the period be a multiple of 16.
    void (*normalise)(const float* x, const float* mean, const float* scale, const float* shift,
                      float* y, std::int64_t count, std::int64_t period, bool past_cache);
    // result = grad * scale[c] + (x - mean[c]) * slope[c] + shift[c]; result may be grad.
    // past_cache as above.
    void (*input_gradient)(const float* grad, const float* x, const float* mean, const float* scale,
                           const float* slope, const float* shift, float* result,
                           std::int64_t count, std::int64_t period, bool past_cache);
};

VOXELGRAD_KERNEL_TABLE(NormKernels, norm)

}  // namespace voxelgrad

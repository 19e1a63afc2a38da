// Sums over positions and pointwise passes of the norms, and of an activation after the norm.
//
// An array of `count` numbers is read as rows of `period` values (the last row may be shorter);
// per-column arguments and results have `period` entries. A period is the number of channels, or a
// multiple of it that fills whole vectors.
#pragma once

#include <cstdint>

#include "core/kinds.hpp"
#include "kernels/dispatch.hpp"

namespace voxelgrad {

// y = activation((x - mean[c]) * scale[c] + shift[c]). alpha: slope of leaky_relu.
struct NormMap {
    const float *mean, *scale, *shift;
    NormActivation activation;
    float alpha;
};

// T: float or bf16. Sums of at most 32 rows are taken in float, those of all rows in double.
template <class T>
struct NormKernels {
    // sum[c] = sum of x, square[c] = sum of x * x. What is summed is the distance from the mean of
    // the first rows, so values far from zero lose nothing.
    void (*moments)(const T* x, std::int64_t count, std::int64_t period, double* sum,
                    double* square);
    // With g = the gradient of what goes into the activation, given that of y: sum[c] = sum of g,
    // product[c] = sum of g * (x - mean[c]).
    void (*gradient_sums)(const T* grad, const T* x, const NormMap& map, std::int64_t count,
                          std::int64_t period, double* sum, double* product);
    // y may be x. past_cache: y is written with stores past the cache; rows of y must then be
    // aligned to 64 bytes.
    void (*normalise)(const T* x, const NormMap& map, T* y, std::int64_t count, std::int64_t period,
                      bool past_cache);
    // result = g * scale[c] + (x - mean[c]) * slope[c] + offset[c]; result may be grad.
    // past_cache as above.
    void (*input_gradient)(const T* grad, const T* x, const NormMap& map, const float* slope,
                           const float* offset, T* result, std::int64_t count, std::int64_t period,
                           bool past_cache);
};

VOXELGRAD_TYPED_KERNEL_TABLES(NormKernels, norm)

}  // namespace voxelgrad

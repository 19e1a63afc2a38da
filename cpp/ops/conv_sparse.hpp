// The gradients of small images' convolutions with few input channels whose output's gradient is
// mostly zeros, as behind a max-pool: zeros are not multiplied.
#pragma once

#include "ops/conv_geometry.hpp"

namespace voxelgrad {

// The gradient of the output: as it is, or as a max-pool of windows that do not overlap gives it.
struct SparseGradient {
    const float* numbers;
    const std::uint8_t* indices = nullptr;  // of the windows; null: numbers are the gradient
    std::int64_t rows = 0, columns = 0;     // of windows
    std::int64_t window_rows = 1, window_columns = 1;
};

// Whether images and kernel are such; where a max-pool leaves at most a quarter of the numbers that
// is all that is asked.
bool conv_sparse_fits(const ConvGeometry& geometry);

// Whether there are enough zeros; a sample of the images tells.
bool conv_sparse_serves(const ConvGeometry& geometry, const float* coarse);

// grad_weight = sum over pixels of fine x coarse; grad_bias, unless null, the sums of coarse. The
// bits do not depend on the form of the gradient.
void conv_sparse_weight_gradient(const ConvGeometry& geometry, const float* fine,
                                 const SparseGradient& coarse, float* grad_weight,
                                 float* grad_bias);

// fine = what each coarse number gives to its window.
void conv_sparse_spread(const ConvGeometry& geometry, const float* coarse, const float* weight,
                        float* fine);

}  // namespace voxelgrad

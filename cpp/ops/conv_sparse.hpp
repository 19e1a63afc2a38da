// The gradients of small images' convolutions with few input channels whose output's gradient is
// mostly zeros, as behind a max-pool: zeros are not multiplied.
#pragma once

#include "ops/conv_geometry.hpp"

namespace voxelgrad {

// Whether there are enough zeros; a sample of the images tells.
bool conv_sparse_serves(const ConvGeometry& geometry, const float* coarse);

// grad_weight = sum over pixels of fine x coarse.
void conv_sparse_weight_gradient(const ConvGeometry& geometry, const float* fine,
                                 const float* coarse, float* grad_weight);

// fine = what each coarse number gives to its window.
void conv_sparse_spread(const ConvGeometry& geometry, const float* coarse, const float* weight,
                        float* fine);

}  // namespace voxelgrad

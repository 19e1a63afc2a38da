#pragma once

#include "ops/conv_gather.hpp"

namespace voxelgrad {

// The weight gradient of direct convolution: grad_weight = sum over pixels of fine x coarse.
void conv_direct_weight_gradient(const ConvGeometry& geometry, const float* fine,
                                 const float* coarse, float* grad_weight);

// The same for few channels on both sides.
bool conv_planar_weight_serves(const ConvGeometry& geometry);
void conv_planar_weight_gradient(const ConvGeometry& geometry, const float* fine,
                                 const float* coarse, float* grad_weight);
// Adds partial gradients, [chunk][fine channel][tap][coarse channel], to the first one, in order,
// and writes it as the weight has it.
void combine_planar_gradients(const ConvGeometry& geometry, const GatherPhase& phase,
                              std::int64_t chunks, float* partial, float* grad_weight);

}  // namespace voxelgrad

// Convolution of bfloat16 images in blocks of 32 pixels x 32 channels (kernels/tile.hpp). Weights,
// bias and gradients of weights are float32; weights are rounded to bfloat16 when they are packed,
// sums are kept in float32.
#pragma once

#include "core/bf16.hpp"
#include "ops/conv_pieces.hpp"

namespace voxelgrad {

void conv_tile_weight_gradient(const ConvGeometry& geometry, const bf16* fine, const bf16* coarse,
                               float* grad_weight);
void conv_tile_weight_gradient_of_pieces(const ConvGeometry& geometry, ImagePieces<const bf16> fine,
                                         const bf16* coarse, float* grad_weight);

}  // namespace voxelgrad

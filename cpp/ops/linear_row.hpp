// A linear layer for a single row: the weight (N, K) is read once, and never packed.
#pragma once

#include <cstdint>

#include "ops/conv_epilogue.hpp"

namespace voxelgrad {

// output (N) = bias + weight input (K), then the activation.
void linear_row_forward(const float* weight, std::int64_t n, std::int64_t k, const float* input,
                        const ConvEpilogue& epilogue, float* output);
// grad_input (K) = grad_output (N) weight.
void linear_row_backward_data(const float* weight, std::int64_t n, std::int64_t k,
                              const float* grad_output, float* grad_input);

}  // namespace voxelgrad

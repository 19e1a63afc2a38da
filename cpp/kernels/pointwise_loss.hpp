// Losses of two arrays, element by element: binary cross-entropy with logits and distances.
#pragma once

#include <cstdint>

#include "core/kinds.hpp"
#include "kernels/dispatch.hpp"

namespace voxelgrad {

struct PointwiseLossKernels {
    double (*bce)(const float* logits, const float* targets, std::int64_t count, float pos_weight);
    void (*bce_backward)(const float* logits, const float* targets, float* grad_logits,
                         std::int64_t count, float pos_weight, float grad_scale);
    double (*distance)(Distance kind, const float* input, const float* target, std::int64_t count);
    void (*distance_backward)(Distance kind, const float* input, const float* target,
                              float* grad_input, std::int64_t count, float grad_scale);
};

VOXELGRAD_KERNEL_TABLE(PointwiseLossKernels, pointwise_loss)

}  // namespace voxelgrad

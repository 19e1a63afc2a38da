// Optimizer steps and measures on runs of floats.
#pragma once

#include <cstdint>

#include "core/optim_steps.hpp"
#include "kernels/dispatch.hpp"

namespace voxelgrad {

struct OptimKernels {
    // buffer is null without momentum.
    void (*sgd)(const SgdStep& step, float* param, const float* grad, float* buffer,
                std::int64_t count);
    void (*adam)(const AdamStep& step, float* param, const float* grad, float* exp_avg,
                 float* exp_avg_sq, std::int64_t count);
    double (*sum_of_squares)(const float* input, std::int64_t count);
    void (*scale)(float* values, std::int64_t count, float factor);
    bool (*all_finite)(const float* values, std::int64_t count);
};

VOXELGRAD_KERNEL_TABLE(OptimKernels, optim)

}  // namespace voxelgrad

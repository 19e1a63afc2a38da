// Optimizer steps and measures on runs of floats.
#pragma once

#include <cstdint>

#include "kernels/dispatch.hpp"

namespace voxelgrad {

struct SgdStep {
    float lr, momentum, weight_decay;
    bool nesterov;
};

struct AdamStep {
    float beta1, one_minus_beta1, beta2, one_minus_beta2;
    float step_size;           // lr / (1 - beta1^step)
    float inverse_correction;  // 1 / sqrt(1 - beta2^step)
    float eps;
    float l2;    // added to the gradient, times the parameter
    float keep;  // what decoupled weight decay leaves of the parameter
};

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

// Pointwise functions on flat arrays. Output may be the input itself.
#pragma once

#include <cstdint>

#include "kernels/dispatch.hpp"

namespace voxelgrad {

enum class Activation {
    relu,
    leaky_relu,
    elu,
    sigmoid,
    tanh,
    softplus,
    exp,
    log,
    sqrt,
    abs,
    square
};

struct ActivationKernels {
    // alpha: slope of leaky_relu, scale of elu.
    void (*forward)(Activation kind, const float* input, float* output, std::int64_t count,
                    float alpha);
    // `saved` is the output for relu, elu, sigmoid, tanh, exp, sqrt and the input for the others.
    void (*backward)(Activation kind, const float* grad_output, const float* saved,
                     float* grad_input, std::int64_t count, float alpha);
};

VOXELGRAD_KERNEL_TABLE(ActivationKernels, activation)

}  // namespace voxelgrad

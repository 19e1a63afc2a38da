// Pointwise functions on flat arrays of float or bf16. Output may be the input itself.
#pragma once

#include <cstdint>

#include "core/kinds.hpp"
#include "kernels/dispatch.hpp"

namespace voxelgrad {

template <class T>
struct ActivationKernels {
    // alpha: slope of leaky_relu, scale of elu. past_cache: write past the cache; the result is
    // aligned to a cache line.
    void (*forward)(Activation kind, const T* input, T* output, std::int64_t count, float alpha,
                    bool past_cache);
    // `saved` is the output for relu, elu, sigmoid, tanh, exp, sqrt and the input for the others.
    void (*backward)(Activation kind, const T* grad_output, const T* saved, T* grad_input,
                     std::int64_t count, float alpha, bool past_cache);
};

VOXELGRAD_TYPED_KERNEL_TABLES(ActivationKernels, activation)

}  // namespace voxelgrad

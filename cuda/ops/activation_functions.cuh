// Values and slopes of the activations on single floats, for kernels that fuse them.
#pragma once

#include <cmath>

#include "core/kinds.hpp"
#include "cuda/core/platform.hpp"

namespace voxelgrad::cuda {

template <Activation kind>
__device__ inline float activation_value(float x, float alpha) {
    if constexpr (kind == Activation::relu) return x < 0.0f ? 0.0f : x;  // NaN stays NaN
    if constexpr (kind == Activation::leaky_relu) return x < 0.0f ? alpha * x : x;
    if constexpr (kind == Activation::elu) return x < 0.0f ? alpha * expm1f(x) : x;
    if constexpr (kind == Activation::sigmoid) {
        // Of a negative number, so that nothing overflows.
        const float e = expf(-fabsf(x));
        return (x < 0.0f ? e : 1.0f) / (1.0f + e);
    }
    if constexpr (kind == Activation::tanh) return tanhf(x);
    if constexpr (kind == Activation::softplus)
        return (x < 0.0f ? 0.0f : x) + log1pf(expf(-fabsf(x)));
    if constexpr (kind == Activation::exp) return expf(x);
    if constexpr (kind == Activation::log) return logf(x);
    if constexpr (kind == Activation::sqrt) return sqrtf(x);
    if constexpr (kind == Activation::abs) return fabsf(x);
    if constexpr (kind == Activation::square) return x * x;
}

// `saved` is the output for relu, elu, sigmoid, tanh, exp, sqrt and the input for the others.
template <Activation kind>
__device__ inline float activation_slope(float saved, float alpha) {
    if constexpr (kind == Activation::relu) return saved > 0.0f ? 1.0f : 0.0f;
    if constexpr (kind == Activation::leaky_relu) return saved > 0.0f ? 1.0f : alpha;
    if constexpr (kind == Activation::elu) return saved > 0.0f ? 1.0f : saved + alpha;
    if constexpr (kind == Activation::sigmoid) return saved * (1.0f - saved);
    if constexpr (kind == Activation::tanh) return 1.0f - saved * saved;
    if constexpr (kind == Activation::softplus)
        return activation_value<Activation::sigmoid>(saved, alpha);
    if constexpr (kind == Activation::exp) return saved;
    if constexpr (kind == Activation::log) return 1.0f / saved;
    if constexpr (kind == Activation::sqrt) return 0.5f / saved;
    if constexpr (kind == Activation::abs)
        return saved > 0.0f ? 1.0f : (saved < 0.0f ? -1.0f : 0.0f);
    if constexpr (kind == Activation::square) return saved + saved;
}

}  // namespace voxelgrad::cuda

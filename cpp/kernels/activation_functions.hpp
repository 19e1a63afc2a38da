// Values and slopes of the activations on vectors, for *.isa.cpp files.
#pragma once

#include "kernels/activation.hpp"
#include "kernels/math.hpp"

namespace voxelgrad::VOXELGRAD_ISA {
namespace {

// tanh |x| = -m / (m + 2) with m = e^(-2|x|) - 1; the sign comes back at the end.
[[gnu::always_inline]] inline Vec tanh(Vec x) {
    const Vec m = expm1_negative(abs(x) * -2.0f);
    const Vec t = -m / (m + 2.0f);
    return x < 0.0f ? -t : t;
}

template <Activation kind>
[[gnu::always_inline]] inline Vec value(Vec x, Vec alpha) {
    if constexpr (kind == Activation::relu) return x < 0.0f ? splat(0.0f) : x;
    if constexpr (kind == Activation::leaky_relu) return x < 0.0f ? alpha * x : x;
    if constexpr (kind == Activation::elu) return x < 0.0f ? alpha * expm1_negative(x) : x;
    if constexpr (kind == Activation::sigmoid) return sigmoid(x);
    if constexpr (kind == Activation::tanh) return tanh(x);
    if constexpr (kind == Activation::softplus) return max(x, splat(0.0f)) + log1p(exp(-abs(x)));
    if constexpr (kind == Activation::exp) return exp(x);
    if constexpr (kind == Activation::log) return log(x);
    if constexpr (kind == Activation::sqrt) return sqrt(x);
    if constexpr (kind == Activation::abs) return abs(x);
    if constexpr (kind == Activation::square) return x * x;
}

template <Activation kind>
[[gnu::always_inline]] inline Vec slope(Vec saved, Vec alpha) {
    const Vec zero = splat(0.0f), one = splat(1.0f);
    if constexpr (kind == Activation::relu) return saved > 0.0f ? one : zero;
    if constexpr (kind == Activation::leaky_relu) return saved > 0.0f ? one : alpha;
    if constexpr (kind == Activation::elu) return saved > 0.0f ? one : saved + alpha;
    if constexpr (kind == Activation::sigmoid) return saved * (1.0f - saved);
    if constexpr (kind == Activation::tanh) return 1.0f - saved * saved;
    if constexpr (kind == Activation::softplus) return sigmoid(saved);
    if constexpr (kind == Activation::exp) return saved;
    if constexpr (kind == Activation::log) return 1.0f / saved;
    if constexpr (kind == Activation::sqrt) return 0.5f / saved;
    if constexpr (kind == Activation::abs) return saved > 0.0f ? one : (saved < 0.0f ? -one : zero);
    if constexpr (kind == Activation::square) return saved + saved;
}

}  // namespace
}  // namespace voxelgrad::VOXELGRAD_ISA

// Dropout; semantics and bits as in cpp/ops/dropout.hpp.
#pragma once

#include <cmath>

#include "core/check.hpp"
#include "cuda/core/map.hpp"
#include "cuda/core/random.hpp"

namespace voxelgrad::cuda {

// Two elements share the bits of a counter: the upper 24 of each half.
struct Dropout {
    std::uint64_t seed;
    std::uint32_t threshold;
    float scale;

    __device__ float operator()(std::int64_t number, float value) const {
        const std::uint64_t bits = random_bits(seed, number / 2);
        const auto half = static_cast<std::uint32_t>(number % 2 ? bits >> 32 : bits);
        return half >> 8 >= threshold ? value * scale : 0.0f;
    }
};

template <class T>
void dropout(Stream stream, View<const T> input, View<T> output, double p, std::uint64_t seed) {
    check_same_shape("dropout", "input", input, "output", output);
    check(p >= 0.0 && p <= 1.0, "dropout: p is ", p, "; it must lie in [0, 1]");
    // n * 2^-24 >= p for whole n exactly if n >= threshold.
    const auto threshold = static_cast<std::uint32_t>(std::ceil(p * 16777216.0));
    const float scale = p < 1.0 ? static_cast<float>(1.0 / (1.0 - p)) : 0.0f;
    map("dropout", stream, Dropout{seed, threshold, scale}, input.size(), output.data, input.data);
}

}  // namespace voxelgrad::cuda

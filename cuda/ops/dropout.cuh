// Dropout; semantics and bits as in cpp/ops/dropout.hpp.
#pragma once

#include <cmath>
#include <cstring>
#include <vector>

#include "core/check.hpp"
#include "cuda/core/map.hpp"
#include "cuda/core/random.hpp"
#include "cuda/core/upload.hpp"

namespace voxelgrad::cuda {

struct GivenSeed {
    std::uint64_t number;
    __device__ std::uint64_t value() const { return number; }
};

// A launch that was captured repeats its arguments: its seed lies in device memory, where
// write_seeds puts another one before each run.
struct StoredSeed {
    const std::int64_t* place;
    __device__ std::uint64_t value() const { return static_cast<std::uint64_t>(*place); }
};

// Two elements share the bits of a counter: the upper 24 of each half.
template <class Seed>
struct Dropout {
    Seed seed;
    std::uint32_t threshold;
    float scale;

    Dropout(Seed seed, double p)
        : seed(seed),
          // n * 2^-24 >= p for whole n exactly if n >= threshold.
          threshold(static_cast<std::uint32_t>(std::ceil(p * 16777216.0))),
          scale(p < 1.0 ? static_cast<float>(1.0 / (1.0 - p)) : 0.0f) {}
    __device__ float operator()(std::int64_t number, float value) const {
        const std::uint64_t bits = random_bits(seed.value(), number / 2);
        const auto half = static_cast<std::uint32_t>(number % 2 ? bits >> 32 : bits);
        return half >> 8 >= threshold ? value * scale : 0.0f;
    }
};

template <class T, class Seed>
void dropout_with(Stream stream, View<const T> input, View<T> output, double p, Seed seed) {
    check_same_shape("dropout", "input", input, "output", output);
    check(p >= 0.0 && p <= 1.0, "dropout: p is ", p, "; it must lie in [0, 1]");
    map("dropout", stream, Dropout<Seed>(seed, p), input.size(), output.data, input.data);
}

template <class T>
void dropout(Stream stream, View<const T> input, View<T> output, double p, std::uint64_t seed) {
    dropout_with(stream, input, output, p, GivenSeed{seed});
}

// As dropout, with the seed that stands at `place` in `seeds` when the kernel runs.
template <class T>
void dropout_by_stored_seed(Stream stream, View<const T> input, View<T> output, double p,
                            View<const std::int64_t> seeds, std::int64_t place) {
    check(place >= 0 && place < seeds.size(), "dropout: there is no seed ", place, " among ",
          seeds.size());
    dropout_with(stream, input, output, p, StoredSeed{seeds.data + place});
}

// Sets the first of `seeds` to `values`.
inline void write_seeds(Stream stream, View<std::int64_t> seeds,
                        const std::vector<std::int64_t>& values) {
    check(static_cast<std::int64_t>(values.size()) <= seeds.size(), "write_seeds: ", values.size(),
          " values for ", seeds.size(), " seeds");
    std::vector<std::uint32_t> words(values.size() * 2);
    std::memcpy(words.data(), values.data(), values.size() * sizeof(std::int64_t));
    upload_to("write_seeds", stream, words, reinterpret_cast<std::uint32_t*>(seeds.data));
}

}  // namespace voxelgrad::cuda

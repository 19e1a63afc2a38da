// Half vectors of float widened to double, for sums in *.isa.cpp files.
#pragma once

#include "kernels/simd.hpp"

namespace voxelgrad::VOXELGRAD_ISA {
namespace {

constexpr int wide_lanes = lanes / 2;

typedef double Wide __attribute__((vector_size(wide_lanes * 8)));
typedef double WideUnaligned __attribute__((vector_size(wide_lanes * 8), aligned(8), may_alias));
typedef float HalfVec __attribute__((vector_size(wide_lanes * 4)));
typedef float HalfUnaligned __attribute__((vector_size(wide_lanes * 4), aligned(4), may_alias));

[[gnu::always_inline]] inline HalfVec load_half(const float* p) {
    return *reinterpret_cast<const HalfUnaligned*>(p);
}
[[gnu::always_inline]] inline void store_half(float* p, HalfVec v) {
    *reinterpret_cast<HalfUnaligned*>(p) = v;
}
[[gnu::always_inline]] inline Wide load_wide(const double* p) {
    return *reinterpret_cast<const WideUnaligned*>(p);
}
[[gnu::always_inline]] inline void store_wide(double* p, Wide v) {
    *reinterpret_cast<WideUnaligned*>(p) = v;
}
[[gnu::always_inline]] inline Wide widen(HalfVec v) {
#if defined(__AVX512F__)  // the compiler's own conversion goes by quarters
    return (Wide)_mm512_maskz_cvtps_pd(0xFF, (__m256)v);
#else
    return __builtin_convertvector(v, Wide);
#endif
}

// Sum of the lanes in a fixed tree.
[[gnu::always_inline]] inline double sum(Wide v) {
    for (int half = wide_lanes / 2; half > 0; half /= 2)
        for (int i = 0; i < half; ++i) v[i] += v[i + half];
    return v[0];
}

// A running sum of vectors of float in double.
struct WideSum {
    Wide low{}, high{};

    [[gnu::always_inline]] inline void add(Vec v) {
        HalfVec halves[2];
        std::memcpy(halves, &v, sizeof v);
        low += widen(halves[0]);
        high += widen(halves[1]);
    }
    [[gnu::always_inline]] inline void add_square(Vec v) {
        HalfVec halves[2];
        std::memcpy(halves, &v, sizeof v);
        low += widen(halves[0]) * widen(halves[0]);
        high += widen(halves[1]) * widen(halves[1]);
    }
    [[gnu::always_inline]] inline double total() const { return sum(low + high); }
};

}  // namespace
}  // namespace voxelgrad::VOXELGRAD_ISA

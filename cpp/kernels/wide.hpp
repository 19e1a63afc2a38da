// Half vectors of float, and those widened to double for sums, in *.isa.cpp files.
#pragma once

#include "kernels/simd.hpp"

namespace voxelgrad::VOXELGRAD_ISA {
namespace {

constexpr int wide_lanes = lanes / 2;

typedef double Wide __attribute__((vector_size(wide_lanes * 8)));
typedef double WideUnaligned __attribute__((vector_size(wide_lanes * 8), aligned(8), may_alias));
typedef float HalfVec __attribute__((vector_size(wide_lanes * 4)));
typedef float HalfUnaligned __attribute__((vector_size(wide_lanes * 4), aligned(4), may_alias));
typedef std::uint32_t HalfBits __attribute__((vector_size(wide_lanes * 4)));
typedef std::uint16_t HalfShort __attribute__((vector_size(wide_lanes * 2)));

[[gnu::always_inline]] inline HalfVec load_half(const float* p) {
    return *reinterpret_cast<const HalfUnaligned*>(p);
}
[[gnu::always_inline]] inline void store_half(float* p, HalfVec v) {
    *reinterpret_cast<HalfUnaligned*>(p) = v;
}
[[gnu::always_inline]] inline HalfVec load_half(const bf16* p) {
    HalfShort bits;
    std::memcpy(&bits, p, sizeof bits);
    return (HalfVec)(__builtin_convertvector(bits, HalfBits) << 16);
}
[[gnu::always_inline]] inline void store_half(bf16* p, HalfVec v) {
    const HalfBits bits = (HalfBits)v, nearest = bits + 0x7FFF + (bits >> 16 & 1);
    const HalfBits kept = v == v ? nearest : (bits | 0x400000);
    const HalfShort upper = __builtin_convertvector(kept >> 16, HalfShort);
    std::memcpy(p, &upper, sizeof upper);
}
[[gnu::always_inline]] inline Wide load_wide(const double* p) {
    return *reinterpret_cast<const WideUnaligned*>(p);
}
[[gnu::always_inline]] inline void store_wide(double* p, Wide v) {
    *reinterpret_cast<WideUnaligned*>(p) = v;
}
[[gnu::always_inline]] inline Wide widen(HalfVec v) { return __builtin_convertvector(v, Wide); }

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

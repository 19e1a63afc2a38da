// bfloat16: the upper half of a float32. Storage only; arithmetic is done in float32.
#pragma once

#include <cstdint>

namespace voxelgrad {

// Kernels of every instruction set use these: they must never be called out of line. constexpr, so
// that device code may call them.
struct bf16 {
    std::uint16_t bits;
};

[[gnu::always_inline]] constexpr float to_float(float value) { return value; }
[[gnu::always_inline]] constexpr float to_float(bf16 value) {
    return __builtin_bit_cast(float, static_cast<std::uint32_t>(value.bits) << 16);
}

// To the nearest, ties to even; a NaN stays one.
[[gnu::always_inline]] constexpr bf16 to_bf16(float value) {
    const std::uint32_t bits = __builtin_bit_cast(std::uint32_t, value);
    if (value != value) return {static_cast<std::uint16_t>(bits >> 16 | 0x40)};
    return {static_cast<std::uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16)};
}

// A float rounded to what an array of T holds.
template <class T>
constexpr T rounded_to(float value);
template <>
[[gnu::always_inline]] constexpr float rounded_to<float>(float value) {
    return value;
}
template <>
[[gnu::always_inline]] constexpr bf16 rounded_to<bf16>(float value) {
    return to_bf16(value);
}

}  // namespace voxelgrad

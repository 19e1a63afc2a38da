// The functions of cuda/core/tensor_core.hpp for the emulation: the threads of a warp exchange what
// they hold, as the instructions lay it down (PTX ISA, "Matrix Fragments for mma.m16n8k16" and
// "ldmatrix"). Sums are those of float32 in the order of the steps; tensor cores round differently.
#pragma once

#include <cstdint>
#include <cstring>

#include "asynchronous.hpp"
#include "core/bf16.hpp"

namespace voxelgrad::cuda {

inline void copy_later(void* shared, const void* from,
                       emulation::Location where = emulation::Location::current()) {
    emulation::begin_copy(shared, from, where);
}
inline void end_batch() { emulation::end_copies(); }
template <int left>
void wait_for_batches() {
    emulation::wait_for_copies(left);
}

template <bool transposed>
void load_matrices(std::uint32_t (&to)[4], const void* row,
                   emulation::Location where = emulation::Location::current()) {
    const std::uint64_t* const rows = emulation::exchange(
        0xFFFFFFFFu, static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(row)), where);
    const unsigned own = emulation::lane() / 4, first = emulation::lane() % 4 * 2;
    const auto element = [&](unsigned matrix, unsigned i, unsigned j) {
        const auto* const from = reinterpret_cast<const std::uint16_t*>(rows[matrix * 8 + i]);
        return static_cast<std::uint32_t>(from[j]);
    };
    for (unsigned m = 0; m < 4; ++m)
        to[m] = transposed ? element(m, first, own) | element(m, first + 1, own) << 16
                           : element(m, own, first) | element(m, own, first + 1) << 16;
}

// What all lanes hold of a fragment of 32-bit registers.
template <int registers>
struct Fragments {
    std::uint32_t held[registers][warpSize];

    Fragments(const std::uint32_t (&own)[registers], const emulation::Location& where) {
        for (int r = 0; r < registers; ++r) {
            const std::uint64_t* const all = emulation::exchange(0xFFFFFFFFu, own[r], where);
            for (int lane = 0; lane < warpSize; ++lane)
                held[r][lane] = static_cast<std::uint32_t>(all[lane]);
        }
    }
    // The bfloat16 that a register holds in its lower or upper half.
    float half(int register_, int lane, int upper) const {
        const bf16 value{static_cast<std::uint16_t>(held[register_][lane] >> (16 * upper))};
        return to_float(value);
    }
    // The TF32 that a register holds: the last 13 bits do not count.
    float tf32(int register_, int lane) const {
        return emulation::value_of<float>(held[register_][lane] & ~0x1FFFu);
    }
};

template <class T>
void multiply_add(float (&c)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                  emulation::Location where = emulation::Location::current());

template <>
inline void multiply_add<bf16>(float (&c)[4], const std::uint32_t (&a)[4],
                               const std::uint32_t (&b)[2], emulation::Location where) {
    const Fragments<4> all_a(a, where);
    const Fragments<2> all_b(b, where);
    const int lane = static_cast<int>(emulation::lane());
    for (int i = 0; i < 4; ++i) {
        const int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
        for (int step = 0; step < 16; ++step) {
            const int late = step / 8, pair = step % 8 / 2, upper = step % 2;
            const float left = all_a.half(late * 2 + row / 8, row % 8 * 4 + pair, upper);
            c[i] = std::fma(left, all_b.half(late, column * 4 + pair, upper), c[i]);
        }
    }
}

template <>
inline void multiply_add<float>(float (&c)[4], const std::uint32_t (&a)[4],
                                const std::uint32_t (&b)[2], emulation::Location where) {
    const Fragments<4> all_a(a, where);
    const Fragments<2> all_b(b, where);
    const int lane = static_cast<int>(emulation::lane());
    for (int i = 0; i < 4; ++i) {
        const int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
        for (int step = 0; step < 8; ++step) {
            const int late = step / 4, place = step % 4;
            const float left = all_a.tf32(late * 2 + row / 8, row % 8 * 4 + place);
            c[i] = std::fma(left, all_b.tf32(late, column * 4 + place), c[i]);
        }
    }
}

// Half of the last place that counts is added: the magnitude is rounded, ties away from zero.
inline std::uint32_t to_tf32(std::uint32_t bits) {
    const bool is_finite = (bits >> 23 & 0xFF) != 0xFF;
    return is_finite ? (bits + 0x1000u) & ~0x1FFFu : bits;
}

}  // namespace voxelgrad::cuda

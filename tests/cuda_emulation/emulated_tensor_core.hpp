// The functions of cuda/core/tensor_core.hpp for the emulation: the threads of a warp exchange what
// they hold, as the instructions lay it down (PTX ISA, "Matrix Fragments for mma.m16n8k16" and
// "ldmatrix"). Sums are those of float32 in the order of the steps; tensor cores round differently.
#pragma once

#include <cstdint>
#include <cstring>

#include "core/bf16.hpp"
#include "emulation.hpp"

namespace voxelgrad::cuda {

// At once: a device may do it as late as at the wait, so that is where readers must not come
// before.
inline void copy_later(void* shared, const void* from) {
    if (from)
        std::memcpy(shared, from, 16);
    else
        std::memset(shared, 0, 16);
}
inline void end_batch() {}
template <int>
void wait_for_batches() {}

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
    // The element that a register holds in its lower or upper half.
    float element(int register_, int lane, int half) const {
        const bf16 value{static_cast<std::uint16_t>(held[register_][lane] >> (16 * half))};
        return to_float(value);
    }
};

inline void multiply_add(float (&c)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                         emulation::Location where = emulation::Location::current()) {
    const Fragments<4> all_a(a, where);
    const Fragments<2> all_b(b, where);
    const int lane = static_cast<int>(emulation::lane());
    for (int i = 0; i < 4; ++i) {
        const int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
        for (int step = 0; step < 16; ++step) {
            const int late = step / 8, pair = step % 8 / 2, half = step % 2;
            const float left = all_a.element(late * 2 + row / 8, row % 8 * 4 + pair, half);
            c[i] = std::fma(left, all_b.element(late, column * 4 + pair, half), c[i]);
        }
    }
}

}  // namespace voxelgrad::cuda

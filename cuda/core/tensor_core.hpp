// One warp's products of small matrices on tensor cores, and how operands get there: from global
// into shared memory without passing registers, from there into the registers that a product wants.
// Compute capability 8.0 and later. The emulation has its own versions (emulated_tensor_core.hpp).
#pragma once

#include <cstdint>

#include "core/bf16.hpp"
#include "cuda/core/platform.hpp"

#if defined(__CUDACC__)

namespace voxelgrad::cuda {

// Begins to copy 16 bytes into shared memory; zeros where `from` is null. Nobody reads there before
// the wait, which is where the compiler is told that memory changes.
__device__ inline void copy_later(void* shared, const void* from) {
    const auto to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
    const int bytes = from ? 16 : 0;  // to be read; the rest is zeros
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(to),
                 "l"(__cvta_generic_to_global(from)), "r"(bytes));
}

// What was begun since the last call is a batch.
__device__ inline void end_batch() { asm volatile("cp.async.commit_group;\n" ::: "memory"); }

// Waits until at most `left` batches of this thread are still on the way.
template <int left>
__device__ inline void wait_for_batches() {
    asm volatile("cp.async.wait_group %0;\n" ::"n"(left) : "memory");
}

// Four 8 x 8 matrices of 16-bit elements from rows of 16 bytes: lane l gives the address of row
// l % 8 of matrix l / 8, and gets of each elements 2 (l % 4) and the next of row l / 4; of column
// l / 4 if transposed.
template <bool transposed>
__device__ inline void load_matrices(std::uint32_t (&to)[4], const void* row) {
    const auto from = static_cast<unsigned>(__cvta_generic_to_shared(row));
    if constexpr (transposed)
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];\n"
                     : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                     : "r"(from)
                     : "memory");
    else
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
                     : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                     : "r"(from)
                     : "memory");
}

// c (16 x 8) += a b, with sums in float32; T: what a and b hold.
template <class T>
__device__ void multiply_add(float (&c)[4], const std::uint32_t (&a)[4],
                             const std::uint32_t (&b)[2]);

// a (16 x 16) and b (16 x 8) of bfloat16. With g = lane / 4, t = 2 (lane % 4):
// a holds rows g, g + 8, g, g + 8 at steps t, t, t + 8, t + 8 and the next;
// b column g at steps t, t + 8 and the next;
// c rows g, g, g + 8, g + 8 at columns t, t + 1, t, t + 1.
template <>
__device__ inline void multiply_add<bf16>(float (&c)[4], const std::uint32_t (&a)[4],
                                          const std::uint32_t (&b)[2]) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};\n"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// a (16 x 8) and b (8 x 8) of float32, of which 10 binary digits after the point count (TF32).
// With g = lane / 4, t = lane % 4: a holds rows g, g + 8, g, g + 8 at steps t, t, t + 4, t + 4;
// b column g at steps t, t + 4; c as above.
template <>
__device__ inline void multiply_add<float>(float (&c)[4], const std::uint32_t (&a)[4],
                                           const std::uint32_t (&b)[2]) {
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};\n"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// The bits of a float32 rounded to TF32: to the nearest, ties away from zero.
__device__ inline std::uint32_t to_tf32(std::uint32_t bits) {
    std::uint32_t result;
    asm("cvt.rna.tf32.f32 %0, %1;\n" : "=r"(result) : "f"(__uint_as_float(bits)));
    return result;
}

}  // namespace voxelgrad::cuda

#else

#include "emulated_tensor_core.hpp"

#endif

// Products of matrices that a warpgroup (four warps) does from shared memory while it goes on
// (wgmma), and copies that land in shared memory by themselves. Compute capability 9.0, code for
// sm_90a only; PTX ISA, "Asynchronous Warpgroup Level Matrix Instructions", "mbarrier", "Async
// Proxy". The emulation has its own versions (emulated_warpgroup.hpp).
//
// Tensor cores and bulk copies reach shared memory by a way of their own, the async proxy. What a
// thread wrote by itself, or by copy_later, they see after that thread's show_to_products.
#pragma once

#include <cstdint>

#include "cuda/core/tensor_core.hpp"

#if defined(__CUDA_ARCH_FEAT_SM90_ALL) || !defined(__CUDACC__)
#define VOXELGRAD_HAS_WARPGROUPS
#endif

namespace voxelgrad::cuda {

// The layouts of an operand here: lines of 128 bytes whose eight runs of 16 bytes are swapped, so
// that eight lines have their n-th run in eight different banks. Patterns of 8 lines begin at
// multiples of 1024 bytes.
constexpr int operand_line = 64;  // elements of bfloat16
constexpr int operand_alignment = 1024;

// Which element of a line has place `place` in memory, and the other way round; of runs' first
// ones.
__device__ constexpr int swapped(int line, int place) { return place ^ line % 8 * 8; }

// Where an operand of a product lies. `leading`, `stride`: bytes; for lines along the steps stride
// is the distance of 8 lines (rows or columns of C); for lines across them, leading that of 64 rows
// or columns and stride that of 8 steps.
__device__ constexpr std::uint64_t operand_descriptor(unsigned address, unsigned leading,
                                                      unsigned stride) {
    constexpr std::uint64_t lines_of_128_bytes = 1;
    const std::uint64_t start = address & 0x3FFFF, next = leading, eight = stride;
    return start >> 4 | next >> 4 << 16 | eight >> 4 << 32 | lines_of_128_bytes << 62;
}

}  // namespace voxelgrad::cuda

#if defined(__CUDACC__)

namespace voxelgrad::cuda {

__device__ inline unsigned shared_address(const void* shared) {
    return static_cast<unsigned>(__cvta_generic_to_shared(shared));
}

// In shared memory: tells when what was announced has landed, again and again (phases).
struct Landing {
    std::uint64_t state;
};

// By one thread, before a barrier of the block.
__device__ inline void start_landing(Landing& landing) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;\n" ::"r"(shared_address(&landing))
                 : "memory");
    asm volatile("fence.proxy.async.shared::cta;\n" ::: "memory");
}

// By one thread, once a phase: begins to copy `bytes`, a multiple of 16, to and from multiples of
// 16.
__device__ inline void land_later(void* shared, const void* from, unsigned bytes,
                                  Landing& landing) {
    const unsigned address = shared_address(&landing);
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;\n" ::"r"(address),
                 "r"(bytes)
                 : "memory");
    asm volatile(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, "
        "[%3];\n" ::"r"(shared_address(shared)),
        "l"(__cvta_generic_to_global(from)), "r"(bytes), "r"(address)
        : "memory");
}

// Waits for a phase: 0 for the first, 1 for the second, 0 for the third and so on.
__device__ inline void wait_for_landing(Landing& landing, unsigned phase) {
    asm volatile(
        "{\n"
        ".reg .pred landed;\n"
        "again:\n"
        "mbarrier.try_wait.parity.shared::cta.b64 landed, [%0], %1;\n"
        "@landed bra done;\n"
        "bra again;\n"
        "done:\n"
        "}\n" ::"r"(shared_address(&landing)),
        "r"(phase)
        : "memory");
}

__device__ inline void show_to_products() {
    asm volatile("fence.proxy.async.shared::cta;\n" ::: "memory");
}

// Before the first product, and again when its sums were touched by anything else.
__device__ inline void begin_products() {
    asm volatile("wgmma.fence.sync.aligned;\n" ::: "memory");
}

// What was begun since the last call is a batch.
__device__ inline void end_products() {
    asm volatile("wgmma.commit_group.sync.aligned;\n" ::: "memory");
}

// Waits for all batches; nothing may touch their sums and operands before.
template <int products, int blocks>
__device__ void wait_for_products(float (&sums)[products][blocks][4]) {
    asm volatile("wgmma.wait_group.sync.aligned 0;\n" ::: "memory");
    VOXELGRAD_UNROLL
    for (int p = 0; p < products; ++p) VOXELGRAD_UNROLL
    for (int j = 0; j < blocks; ++j) VOXELGRAD_UNROLL
    for (int i = 0; i < 4; ++i) asm volatile("" : "+f"(sums[p][j][i])::"memory");
}

#if defined(VOXELGRAD_HAS_WARPGROUPS)

#define VOXELGRAD_SUMS_1(j) "+f"(c[j][0]), "+f"(c[j][1]), "+f"(c[j][2]), "+f"(c[j][3])
#define VOXELGRAD_SUMS_4(j) \
    VOXELGRAD_SUMS_1(j), VOXELGRAD_SUMS_1(j + 1), VOXELGRAD_SUMS_1(j + 2), VOXELGRAD_SUMS_1(j + 3)
#define VOXELGRAD_SUMS_8(j) VOXELGRAD_SUMS_4(j), VOXELGRAD_SUMS_4(j + 4)
#define VOXELGRAD_SUMS_16 VOXELGRAD_SUMS_8(0), VOXELGRAD_SUMS_8(8)
#define VOXELGRAD_NAMES_16 "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15"
#define VOXELGRAD_NAMES_32 \
    VOXELGRAD_NAMES_16     \
    ", %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define VOXELGRAD_NAMES_64                                                             \
    VOXELGRAD_NAMES_32                                                                 \
    ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47" \
    ", %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define VOXELGRAD_MULTIPLY(shape, names, operands, ...)                                        \
    asm volatile("wgmma.mma_async.sync.aligned." shape ".f32.bf16.bf16 {" names "}, " operands \
                 : __VA_ARGS__                                                                 \
                 : "l"(a), "l"(b), "n"(int{a_across}), "n"(int{b_across}))

// Begins c (64 x 8 blocks) += a (64 x 16) b (16 x 8 blocks) of bfloat16, sums in float32.
// `a_across`, `b_across`: the lines of an operand run across the steps. Warp w of the warpgroup
// holds rows 16 w to 16 w + 15 of c, in blocks of 16 x 8 as multiply_add<bf16> lays them down.
template <bool a_across, bool b_across, int blocks>
__device__ void multiply_add_later(float (&c)[blocks][4], std::uint64_t a, std::uint64_t b) {
    static_assert(blocks == 4 || blocks == 8 || blocks == 16);
    if constexpr (blocks == 4)
        VOXELGRAD_MULTIPLY("m64n32k16", VOXELGRAD_NAMES_16, "%16, %17, 1, 1, 1, %18, %19;\n",
                           VOXELGRAD_SUMS_4(0));
    else if constexpr (blocks == 8)
        VOXELGRAD_MULTIPLY("m64n64k16", VOXELGRAD_NAMES_32, "%32, %33, 1, 1, 1, %34, %35;\n",
                           VOXELGRAD_SUMS_8(0));
    else
        VOXELGRAD_MULTIPLY("m64n128k16", VOXELGRAD_NAMES_64, "%64, %65, 1, 1, 1, %66, %67;\n",
                           VOXELGRAD_SUMS_16);
}

#undef VOXELGRAD_SUMS_1
#undef VOXELGRAD_SUMS_4
#undef VOXELGRAD_SUMS_8
#undef VOXELGRAD_SUMS_16
#undef VOXELGRAD_NAMES_16
#undef VOXELGRAD_NAMES_32
#undef VOXELGRAD_NAMES_64
#undef VOXELGRAD_MULTIPLY

#endif

}  // namespace voxelgrad::cuda

#else

#include "emulated_warpgroup.hpp"

#endif

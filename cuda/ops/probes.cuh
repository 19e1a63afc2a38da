// A device's limits, to be timed by a benchmark: multiply-adds in registers, products on tensor
// cores, bytes from memory. What the kernels write depends on all that they did.
#pragma once

#include <string>

#include "core/check.hpp"
#include "cuda/core/launch.hpp"
#include "cuda/core/pack.hpp"
#include "cuda/core/tensor_core.hpp"
#include "cuda/ops/products.cuh"

namespace voxelgrad::cuda {

constexpr int probe_chains = 8;    // sums of a thread that do not wait for each other
constexpr int probe_repeats = 16;  // of a round: the loop costs two per cent of it
constexpr int probe_packs = 4;     // of 16 bytes that a thread has on their way
constexpr int probe_floats = block_threads * probe_packs * 4;  // that a block reads

// Sum c begins at c.
static __global__ void __launch_bounds__(block_threads)
    fma_kernel(std::int64_t rounds, float factor, float shift, float* output) {
    float sum[probe_chains];
    VOXELGRAD_UNROLL
    for (int c = 0; c < probe_chains; ++c) sum[c] = static_cast<float>(c);
    for (std::int64_t round = 0; round < rounds; ++round) VOXELGRAD_UNROLL
    for (int repeat = 0; repeat < probe_repeats; ++repeat) VOXELGRAD_UNROLL
    for (int c = 0; c < probe_chains; ++c) sum[c] = fmaf(sum[c], factor, shift);
    float total = 0.0f;
    VOXELGRAD_UNROLL
    for (int c = 0; c < probe_chains; ++c) total += sum[c];
    output[std::int64_t(blockIdx.x) * block_threads + threadIdx.x] = total;
}

// Products of ones, which draw less power than other numbers do; T: what the operands hold.
template <class T>
__global__ void __launch_bounds__(block_threads)
    product_kernel(std::int64_t rounds, std::uint32_t ones, float* output) {
    const std::uint32_t a[4] = {ones, ones, ones, ones}, b[2] = {ones, ones};
    float sum[probe_chains][4] = {};
    for (std::int64_t round = 0; round < rounds; ++round) VOXELGRAD_UNROLL
    for (int repeat = 0; repeat < probe_repeats; ++repeat) VOXELGRAD_UNROLL
    for (int c = 0; c < probe_chains; ++c) multiply_add<T>(sum[c], a, b);
    float total = 0.0f;
    VOXELGRAD_UNROLL
    for (int c = 0; c < probe_chains; ++c) VOXELGRAD_UNROLL
    for (int i = 0; i < 4; ++i) total += sum[c][i];
    output[std::int64_t(blockIdx.x) * block_threads + threadIdx.x] = total;
}

constexpr int probe_columns = 128;  // of a product of a warpgroup, which has 64 rows
constexpr int probe_batch = 4;      // times that it does all steps of its operands before it waits
struct WarpgroupOperands {
    WgmmaOperand<64, true> a;
    WgmmaOperand<probe_columns, true> b;
};

// The same by warpgroups.
static __global__ void __launch_bounds__(block_threads, 2)
    warpgroup_kernel([[maybe_unused]] std::int64_t rounds, [[maybe_unused]] float* output) {
#if defined(VOXELGRAD_HAS_WARPGROUPS)
    auto* const operands = aligned_dynamic_shared<WarpgroupOperands>();
    for (int i = threadIdx.x; i < 64 * wgmma_depth; i += block_threads)
        operands->a.value[i] = to_bf16(1.0f);
    for (int i = threadIdx.x; i < probe_columns * wgmma_depth; i += block_threads)
        operands->b.value[i] = to_bf16(1.0f);
    show_to_products();
    __syncthreads();
    const std::uint64_t a = operands->a.descriptor(0), b = operands->b.descriptor(0);
    float sum[1][probe_columns / 8][4] = {};
    for (std::int64_t round = 0; round < rounds; ++round) {
        begin_products();
        VOXELGRAD_UNROLL
        for (int repeat = 0; repeat < probe_batch; ++repeat) VOXELGRAD_UNROLL
        for (unsigned i = 0; i < wgmma_depth / wgmma_steps; ++i)
            multiply_add_later<false, false>(sum[0], a + i * operands->a.next_product,
                                             b + i * operands->b.next_product);
        end_products();
        wait_for_products(sum);
    }
    float total = 0.0f;
    VOXELGRAD_UNROLL
    for (int c = 0; c < probe_columns / 8; ++c) VOXELGRAD_UNROLL
    for (int i = 0; i < 4; ++i) total += sum[0][c][i];
    output[std::int64_t(blockIdx.x) * block_threads + threadIdx.x] = total;
#endif
}

// The first number of pack i of this thread; neighbouring threads have neighbouring packs.
__device__ inline std::int64_t probe_place(int i) {
    const std::int64_t pack = std::int64_t(blockIdx.x) * probe_packs + i;
    return (pack * block_threads + threadIdx.x) * 4;
}

// Every warp writes the sum of what it read.
static __global__ void __launch_bounds__(block_threads) read_kernel(const float* a, float* output) {
    Pack<float, 4> pack[probe_packs];
    VOXELGRAD_UNROLL
    for (int i = 0; i < probe_packs; ++i) pack[i] = load_pack<4>(a + probe_place(i));
    float sum = 0.0f;
    VOXELGRAD_UNROLL
    for (int i = 0; i < probe_packs; ++i) VOXELGRAD_UNROLL
    for (int j = 0; j < 4; ++j) sum += pack[i].value[j];
    VOXELGRAD_UNROLL
    for (int lanes = warpSize / 2; lanes > 0; lanes /= 2)
        sum += __shfl_xor_sync(0xFFFFFFFFu, sum, lanes);
    if (threadIdx.x % warpSize == 0)
        output[(std::int64_t(blockIdx.x) * block_threads + threadIdx.x) / warpSize] = sum;
}

// output = a, or a + factor * b.
template <bool with_b>
__global__ void __launch_bounds__(block_threads)
    write_kernel(const float* a, const float* b, float factor, float* output) {
    Pack<float, 4> from_a[probe_packs], from_b[probe_packs];
    VOXELGRAD_UNROLL
    for (int i = 0; i < probe_packs; ++i) {
        from_a[i] = load_pack<4>(a + probe_place(i));
        if constexpr (with_b) from_b[i] = load_pack<4>(b + probe_place(i));
    }
    VOXELGRAD_UNROLL
    for (int i = 0; i < probe_packs; ++i) {
        if constexpr (with_b) {
            VOXELGRAD_UNROLL
            for (int j = 0; j < 4; ++j)
                from_a[i].value[j] = fmaf(factor, from_b[i].value[j], from_a[i].value[j]);
        }
        *reinterpret_cast<Pack<float, 4>*>(output + probe_place(i)) = from_a[i];
    }
}

inline Grid probe_grid(const char* op, std::int64_t rounds, const View<float>& output) {
    check(output.rank == 1 && output.size() % block_threads == 0, op, ": output has shape ", output,
          "; it must have one axis and a multiple of ", block_threads, " values, one a thread");
    check(rounds >= 0, op, ": rounds is ", rounds, "; it must be 0 or more");
    return threads_for(output.size());
}

// Returns the floating-point operations of `rounds` rounds on as many threads as output has values.
inline std::int64_t run_fma(Stream stream, std::int64_t rounds, View<float> output) {
    const Grid grid = probe_grid("run_fma", rounds, output);
    launch("run_fma", stream, grid, fma_kernel, rounds, 0.5f, 1.0f, output.data);
    return output.size() * rounds * probe_repeats * probe_chains * 2;
}

// The same for products on tensor cores; kind: bfloat16, tf32 of float32, or warpgroups of bfloat16
// (see has_warpgroups).
inline std::int64_t run_products(Stream stream, const std::string& kind, std::int64_t rounds,
                                 View<float> output) {
    constexpr const char* op = "run_products";
    Grid grid = probe_grid(op, rounds, output);
    const std::int64_t warps = output.size() / 32;
    const std::int64_t products = warps * rounds * probe_repeats * probe_chains;
    if (kind == "bfloat16") {
        launch(op, stream, grid, product_kernel<bf16>, rounds, 0x3F803F80u, output.data);
        return products * 2 * 16 * 8 * 16;
    }
    if (kind == "tf32") {
        launch(op, stream, grid, product_kernel<float>, rounds, 0x3F800000u, output.data);
        return products * 2 * 16 * 8 * 8;
    }
    check(kind == "warpgroups", op, ": kind '", kind,
          "' is unknown; choose bfloat16, tf32 or warpgroups");
    check(has_wgmma(op), op, ": the device or the module has no products by warpgroups");
    grid.shared_bytes = sizeof(WarpgroupOperands) + operand_alignment;
    launch(op, stream, grid, warpgroup_kernel, rounds, output.data);
    return warps / 4 * rounds * probe_batch * 2 * 64 * probe_columns * wgmma_depth;
}

inline bool has_warpgroups(Stream) { return has_wgmma("has_warpgroups"); }

// `rounds` passes over arrays of one shape (size,); returns the bytes that were read and written.
// kind: read (a; the first size / 512 values of output get the sums of the warps), copy (a to
// output), or triad (output = a + 0.999 * b).
inline std::int64_t run_bandwidth(Stream stream, const std::string& kind, View<const float> a,
                                  View<const float> b, View<float> output, std::int64_t rounds) {
    check_same_shape("run_bandwidth", "a", a, "b", b);
    check_same_shape("run_bandwidth", "a", a, "output", output);
    check(a.rank == 1 && a.size() % probe_floats == 0, "run_bandwidth: a has shape ", a,
          "; it must have one axis and a multiple of ", probe_floats, " values");
    check(all_aligned(a.data, b.data, output.data),
          "run_bandwidth: arrays must be aligned to 16 bytes; take them from empty()");
    check(rounds >= 0, "run_bandwidth: rounds is ", rounds, "; it must be 0 or more");
    const std::int64_t arrays = kind == "read" ? 1 : kind == "copy" ? 2 : kind == "triad" ? 3 : 0;
    check(arrays > 0, "run_bandwidth: kind '", kind, "' is unknown; choose read, copy or triad");
    const Grid grid{dim3(static_cast<unsigned>(a.size() / probe_floats)), dim3(block_threads)};
    for (std::int64_t round = 0; round < rounds; ++round) {
        if (arrays == 1)
            launch("run_bandwidth", stream, grid, read_kernel, a.data, output.data);
        else if (arrays == 2)
            launch("run_bandwidth", stream, grid, write_kernel<false>, a.data, b.data, 0.0f,
                   output.data);
        else
            launch("run_bandwidth", stream, grid, write_kernel<true>, a.data, b.data, 0.999f,
                   output.data);
    }
    return rounds * arrays * a.size() * static_cast<std::int64_t>(sizeof(float));
}

}  // namespace voxelgrad::cuda

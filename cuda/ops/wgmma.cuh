// Products of bfloat16 matrices by warpgroups, for compute capability 9.0; passes as in gemm.cuh.
//
// A block of two warpgroups computes rows x columns of C, each of them 64 rows or half of the
// columns. It goes along the sum in slices of 64 steps. Operands lie in shared memory in lines of
// 128 bytes, along the steps or across them (operand_descriptor). While the tensor cores multiply
// one slice, the threads begin to copy the one that is two ahead: gathered operands in runs of 16
// bytes, by every thread; a weight as one bulk copy, because weight_tiles_kernel has laid it out as
// it lies in shared memory.
#pragma once

#include "cuda/core/warpgroup.hpp"
#include "cuda/core/workspace.hpp"
#include "cuda/ops/mma.cuh"

namespace voxelgrad::cuda {

constexpr int wgmma_depth = 64;  // steps of a slice
constexpr int wgmma_steps = 16;  // of one product

template <int rows_, int columns_>
struct WgmmaTile {
    static constexpr int rows = rows_, columns = columns_, depth = wgmma_depth;
    static constexpr int width = full_width<bf16>, threads = 256;
    static constexpr int group_columns = rows == 128 ? columns : columns / 2;  // of a warpgroup
    static constexpr int product_columns = std::min(group_columns, 128);
    static constexpr int products = group_columns / product_columns;
    // In registers and shared memory: how many fit on a multiprocessor.
    static constexpr int slices = products == 1 ? 3 : 4;
    static constexpr int blocks = products == 1 ? 2 : 1;
    static_assert(rows == 128 || rows == 64);
};

template <int extent, bool along_steps>
struct WgmmaOperand {
    alignas(operand_alignment) bf16 value[extent * wgmma_depth];

    // The place of the run of eight elements that begins with one.
    __device__ static constexpr int place(int lane, int step) {
        return along_steps ? lane * operand_line + swapped(lane, step)
                           : (lane / operand_line * wgmma_depth + step) * operand_line +
                                 swapped(step, lane % operand_line);
    }
    __device__ bf16* at(int lane, int step) { return value + place(lane, step); }

    // Of the first product's steps, from a lane on that is a multiple of 32, or of 64 where lines
    // run across the steps.
    __device__ std::uint64_t descriptor(int lane) const {
        constexpr unsigned line = operand_line * sizeof(bf16);
        constexpr unsigned next_lines = along_steps ? 16 : wgmma_depth * line;
        return operand_descriptor(shared_address(value + place(lane, 0)), next_lines, 8 * line);
    }
    // What has to be added to it for those of the next product: a part of a line, or whole lines.
    static constexpr unsigned next_product =
        wgmma_steps * (along_steps ? 1 : operand_line) * sizeof(bf16) / 16;
};

template <class Tile, class Pass, bool b_along_steps>
struct WgmmaSlice {
    WgmmaOperand<Tile::rows, Pass::a_along_steps> a;
    WgmmaOperand<Tile::columns, b_along_steps> b;
};

// A weight, cut into what blocks read at a time: (parts, strips of columns, slices) operands whose
// lines run along the steps, zeros beyond the ends.
struct WeightTiles {
    static constexpr bool along_steps = true;

    const bf16* data;
    std::int64_t strips;
    int slices;

    __device__ std::int64_t first(std::int64_t part, std::int64_t strip) const {
        return (part * strips + strip) * slices;
    }
};

// Where B is gathered as A is.
template <class Pass>
struct NoWeightTiles {
    static constexpr bool along_steps = Pass::b_along_steps;
};

// A block lays out one operand.
template <class Tile, class Pass>
__global__ void __launch_bounds__(Tile::threads)
    weight_tiles_kernel(Pass pass, WeightTiles tiles, bf16* output) {
    using Operand = WgmmaOperand<Tile::columns, true>;
    constexpr int width = Tile::width, runs = wgmma_depth / width;
    VOXELGRAD_SHARED(part, typename Pass::Part);
    const std::int64_t number = blockIdx.x, strip = number / tiles.slices;
    const int first_step = static_cast<int>(number % tiles.slices) * wgmma_depth;
    const int first_column = static_cast<int>(strip % tiles.strips) * Tile::columns;
    pass.enter(strip / tiles.strips, part);
    bf16* const to = output + number * Tile::columns * wgmma_depth;
    for (int i = threadIdx.x; i < Tile::columns * runs; i += Tile::threads) {
        // Neighbours among the threads read neighbours in the weight.
        const int lane = Pass::b_along_steps ? i / runs : i % Tile::columns;
        const int step = (Pass::b_along_steps ? i % runs : i / Tile::columns) * width;
        const auto* const from =
            pass.b(pass.step(part, first_step + step), pass.column(part, first_column + lane));
        Pack<bf16, width> pack{};
        VOXELGRAD_UNROLL
        for (int w = 0; w < width; ++w)
            if (from) pack.value[w] = to_bf16(from[w * pass.order.k]);
        *reinterpret_cast<Pack<bf16, width>*>(to + Operand::place(lane, step)) = pack;
    }
}

// The part of C that a warpgroup computes.
template <class Tile, class Slice>
struct WgmmaTotals {
    float value[Tile::products][Tile::product_columns / 8][4] = {};

    __device__ static int group() { return threadIdx.x / 128; }
    __device__ static int first_row() { return Tile::rows == 128 ? group() * 64 : 0; }
    __device__ static int first_column() {
        return Tile::rows == 128 ? 0 : group() * Tile::group_columns;
    }

    template <bool a_across, bool b_across>
    __device__ void begin_to_add(const Slice& slice) {
        const std::uint64_t a = slice.a.descriptor(first_row());
        std::uint64_t b[Tile::products];
        VOXELGRAD_UNROLL
        for (int p = 0; p < Tile::products; ++p)
            b[p] = slice.b.descriptor(first_column() + p * Tile::product_columns);
        begin_products();
        VOXELGRAD_UNROLL
        for (unsigned i = 0; i < wgmma_depth / wgmma_steps; ++i) VOXELGRAD_UNROLL
        for (int p = 0; p < Tile::products; ++p)
            multiply_add_later<a_across, b_across>(value[p], a + i * slice.a.next_product,
                                                   b[p] + i * slice.b.next_product);
        end_products();
    }

    template <class Pass>
    __device__ void store(const Pass& pass, const typename Pass::Part& part, std::int64_t row,
                          int column) const {
        row += first_row() + threadIdx.x / 32 % 4 * 16;
        VOXELGRAD_UNROLL
        for (int p = 0; p < Tile::products; ++p)
            store_blocks(pass, part, row, column + first_column() + p * Tile::product_columns,
                         value[p]);
    }
};

// The dynamic shared memory from the first multiple on that patterns may begin at.
template <class T>
__device__ T* aligned_dynamic_shared() {
    auto* const all = dynamic_shared<unsigned char>();
    return reinterpret_cast<T*>(all + (-shared_address(all) % operand_alignment));
}

template <class Tile, class Pass, class Tiles>
__global__ void __launch_bounds__(Tile::threads, Tile::blocks)
    wgmma_kernel(Pass pass, GemmGrid<Tile> grid, Tiles tiles) {
#if defined(VOXELGRAD_HAS_WARPGROUPS)
    constexpr bool has_tiles = std::is_same_v<Tiles, WeightTiles>;
    using Slice = WgmmaSlice<Tile, Pass, Tiles::along_steps>;
    auto* const slices = aligned_dynamic_shared<Slice>();
    VOXELGRAD_SHARED(part, typename Pass::Part);
    VOXELGRAD_SHARED(landings, Landing[Tile::slices]);
    if (has_tiles && threadIdx.x == 0)
        for (int s = 0; s < Tile::slices; ++s) start_landing(landings[s]);
    const std::int64_t number = blockIdx.x, strip = number / grid.across;
    pass.enter(strip / grid.down, part);
    const std::int64_t first_row = strip % grid.down * Tile::rows;
    const int first_column = static_cast<int>(number % grid.across) * Tile::columns;

    const MmaFeed<Tile, Pass> feed(pass, part, first_row, first_column);
    WgmmaTotals<Tile, Slice> totals;
    const std::int64_t first = pass.first_step(part), end = pass.end_step(part);
    const auto copy = [&](std::int64_t step, int to) {
        if constexpr (has_tiles) {
            constexpr int size = Tile::columns * wgmma_depth;
            const std::int64_t tile =
                tiles.first(strip / grid.down, number % grid.across) + step / wgmma_depth;
            if (threadIdx.x == 0)
                land_later(slices[to].b.value, tiles.data + tile * size, size * sizeof(bf16),
                           landings[to]);
        }
        feed.copy_a(step, slices[to].a);
        if constexpr (!has_tiles) feed.copy_b(step, slices[to].b);
    };
    constexpr int ahead = Tile::slices - 1;
    VOXELGRAD_UNROLL
    for (int s = 0; s < ahead; ++s) {
        if (first + s * wgmma_depth < end) copy(first + s * wgmma_depth, s);
        end_batch();
    }
    int current = 0, next = ahead;
    unsigned phase = 0;
    for (std::int64_t step = first; step < end; step += wgmma_depth) {
        wait_for_batches<ahead - 1>();
        show_to_products();
        __syncthreads();  // the slice is there, and nobody multiplies the one before any more
        if constexpr (has_tiles) wait_for_landing(landings[current], phase);
        totals.template begin_to_add<!Pass::a_along_steps, !Tiles::along_steps>(slices[current]);
        if (step + ahead * wgmma_depth < end) copy(step + ahead * wgmma_depth, next);
        end_batch();
        wait_for_products(totals.value);
        if (++current == Tile::slices) {
            current = 0;
            phase ^= 1;
        }
        next = next + 1 == Tile::slices ? 0 : next + 1;
    }
    wait_for_batches<0>();
    totals.store(pass, part, first_row, first_column);
#endif
}

template <class Tile, class Pass, class Tiles>
void launch_wgmma(const char* op, Stream stream, const Pass& pass, const Tiles& tiles) {
    const GemmGrid<Tile> grid(pass);
    check(grid.blocks() <= INT_MAX, op, ": ", grid.blocks(), " blocks are too many for a launch");
    launch(op, stream,
           {dim3(static_cast<unsigned>(grid.blocks())), dim3(Tile::threads),
            Tile::slices * sizeof(WgmmaSlice<Tile, Pass, Tiles::along_steps>) + operand_alignment},
           wgmma_kernel<Tile, Pass, Tiles>, pass, grid, tiles);
}

template <class Tile, bool inner>
void tiled_wgmma(const char* op, Stream stream, const ImagePass<bf16, inner>& pass) {
    WeightTiles tiles{nullptr, divide_up(pass.columns(), Tile::columns),
                      static_cast<int>(divide_up(pass.most_steps(), wgmma_depth))};
    const std::int64_t blocks = pass.parts() * tiles.strips * tiles.slices;
    check(blocks <= INT_MAX, op, ": ", blocks, " blocks are too many for a launch");
    const Workspace<bf16> memory(blocks * Tile::columns * wgmma_depth);
    tiles.data = memory.data();
    launch(op, stream, {dim3(static_cast<unsigned>(blocks)), dim3(Tile::threads)},
           weight_tiles_kernel<Tile, ImagePass<bf16, inner>>, pass, tiles, memory.data());
    // How the weight lay does not matter any more: one kernel for both orders.
    const ImagePass<bf16, true> tiled{pass.gather,          pass.source,
                                      pass.weight,          pass.epilogue,
                                      pass.target,          pass.groups,
                                      pass.source_channels, pass.target_channels,
                                      pass.order,           pass.by_source_channels};
    launch_wgmma<Tile>(op, stream, tiled, tiles);
}

// Conditions as of mma. Sums do not depend on the tile.
template <bool inner>
void wgmma(const char* op, Stream stream, const ImagePass<bf16, inner>& pass) {
    // Two blocks for each multiprocessor of an H100.
    const bool is_large = divide_up(pass.most_rows(), 128) * divide_up(pass.columns(), 256) >= 264;
    if (pass.columns() <= 32) return tiled_wgmma<WgmmaTile<128, 32>>(op, stream, pass);
    if (pass.columns() <= 64) return tiled_wgmma<WgmmaTile<128, 64>>(op, stream, pass);
    if (pass.columns() <= 128 || !is_large)
        return tiled_wgmma<WgmmaTile<128, 128>>(op, stream, pass);
    tiled_wgmma<WgmmaTile<128, 256>>(op, stream, pass);
}

// Of a pass whose operands are both gathered.
template <class Pass>
void gathered_wgmma(const char* op, Stream stream, const Pass& pass) {
    const NoWeightTiles<Pass> none;
    if (pass.most_rows() <= 64) return launch_wgmma<WgmmaTile<64, 128>>(op, stream, pass, none);
    if (pass.columns() <= 64) return launch_wgmma<WgmmaTile<128, 64>>(op, stream, pass, none);
    launch_wgmma<WgmmaTile<128, 128>>(op, stream, pass, none);
}

}  // namespace voxelgrad::cuda

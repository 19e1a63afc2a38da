// Matrix products C = A B whose operands are gathered (conv_pass.cuh), exact in float32: products
// and sums are FMAs, in the order of the steps.
//
// A block computes rows x columns of C. It goes along the sum in slices of `depth` steps: while it
// multiplies one slice, which lies in shared memory, its threads have the next one on the way from
// global memory into registers. A thread computes 8 x 4 elements.
#pragma once

#include "core/check.hpp"
#include "cuda/core/launch.hpp"
#include "cuda/ops/conv_pass.cuh"

namespace voxelgrad::cuda {

template <int rows_, int columns_, int depth_>
struct GemmTile {
    static constexpr int rows = rows_, columns = columns_, depth = depth_;
    static constexpr int thread_rows = 8, thread_columns = 4;  // two halves of 4 rows
    static constexpr int threads_across = columns / thread_columns;
    static constexpr int threads = rows / thread_rows * threads_across;
};

// Padded, so that a slice is written without too many conflicts and read in aligned fours.
template <class Tile>
struct GemmSlice {
    float a[Tile::depth][Tile::rows + 4], b[Tile::depth][Tile::columns + 4];
};

// How the threads of a block share the loads of a slice of an operand that is `extent` wide: in
// runs of `width` neighbours in memory, which lie along the steps or across them.
template <class Tile, int extent, bool along_steps, int width>
struct GemmLoads {
    static constexpr int line = (along_steps ? Tile::depth : extent) / width;  // runs
    static constexpr int runs = extent * Tile::depth / width / Tile::threads;  // of a thread
    static_assert(runs * width * Tile::threads == extent * Tile::depth);
    static_assert(Tile::threads % line == 0);
    // Runs of a thread differ on one of the two sides only.
    static constexpr int lanes = along_steps ? runs : 1, steps = along_steps ? 1 : runs;

    __device__ static int lane(int run) {
        const int number = threadIdx.x + run * Tile::threads;
        return along_steps ? number / line : number % line * width;
    }
    __device__ static int step(int run) {
        const int number = threadIdx.x + run * Tile::threads;
        return along_steps ? number % line * width : number / line;
    }
};

template <int width, class T>
__device__ void load_run(const T* from, float (&to)[width]) {
    Pack<T, width> pack{};
    if (from) pack = *reinterpret_cast<const Pack<T, width>*>(from);
    VOXELGRAD_UNROLL
    for (int w = 0; w < width; ++w) to[w] = to_float(pack.value[w]);
}

// The rows of A and the columns of B whose elements a thread loads, worked out once.
template <class Tile, class Pass, int width>
struct GemmLanes {
    using LoadsA = GemmLoads<Tile, Tile::rows, Pass::a_along_steps, width>;
    using LoadsB = GemmLoads<Tile, Tile::columns, Pass::b_along_steps, width>;

    const Pass& pass;
    const typename Pass::Part& part;
    typename Pass::Row row[LoadsA::lanes];
    typename Pass::Column column[LoadsB::lanes];

    __device__ GemmLanes(const Pass& pass, const typename Pass::Part& part, std::int64_t first_row,
                         int first_column)
        : pass(pass), part(part) {
        VOXELGRAD_UNROLL
        for (int r = 0; r < LoadsA::lanes; ++r)
            row[r] = pass.row(part, first_row + LoadsA::lane(r));
        VOXELGRAD_UNROLL
        for (int r = 0; r < LoadsB::lanes; ++r)
            column[r] = pass.column(part, first_column + LoadsB::lane(r));
    }
};

// What a thread has on the way from global into shared memory, and from where.
template <class Tile, class Pass, int width>
struct GemmFeed : GemmLanes<Tile, Pass, width> {
    using Lanes = GemmLanes<Tile, Pass, width>;
    using Lanes::Lanes, Lanes::pass, Lanes::part, Lanes::row, Lanes::column;
    using typename Lanes::LoadsA, typename Lanes::LoadsB;

    float a[LoadsA::runs][width], b[LoadsB::runs][width];

    __device__ void fetch(std::int64_t first_step) {
        typename Pass::Step step[LoadsA::steps];
        VOXELGRAD_UNROLL
        for (int s = 0; s < LoadsA::steps; ++s)
            step[s] = pass.step(part, first_step + LoadsA::step(s));
        VOXELGRAD_UNROLL
        for (int r = 0; r < LoadsA::runs; ++r)
            load_run<width>(pass.a(row[r % LoadsA::lanes], step[r % LoadsA::steps]), a[r]);
        typename Pass::Step other[LoadsB::steps];
        VOXELGRAD_UNROLL
        for (int s = 0; s < LoadsB::steps; ++s)
            other[s] = pass.step(part, first_step + LoadsB::step(s));
        VOXELGRAD_UNROLL
        for (int r = 0; r < LoadsB::runs; ++r)
            load_run<width>(pass.b(other[r % LoadsB::steps], column[r % LoadsB::lanes]), b[r]);
    }

    __device__ void put(GemmSlice<Tile>& slice) const {
        VOXELGRAD_UNROLL
        for (int r = 0; r < LoadsA::runs; ++r) VOXELGRAD_UNROLL
        for (int w = 0; w < width; ++w)
            slice.a[LoadsA::step(r) + (Pass::a_along_steps ? w : 0)]
                   [LoadsA::lane(r) + (Pass::a_along_steps ? 0 : w)] = a[r][w];
        VOXELGRAD_UNROLL
        for (int r = 0; r < LoadsB::runs; ++r) VOXELGRAD_UNROLL
        for (int w = 0; w < width; ++w)
            slice.b[LoadsB::step(r) + (Pass::b_along_steps ? w : 0)]
                   [LoadsB::lane(r) + (Pass::b_along_steps ? 0 : w)] = b[r][w];
    }
};

// The 8 x 4 elements of C of one thread.
template <class Tile>
struct GemmTotals {
    float value[Tile::thread_rows][Tile::thread_columns] = {};

    __device__ static int row(int r) {
        const int down = threadIdx.x / Tile::threads_across;
        return r / 4 * (Tile::rows / 2) + down * 4 + r % 4;
    }
    __device__ static int column() {
        return threadIdx.x % Tile::threads_across * Tile::thread_columns;
    }

    __device__ void add(const GemmSlice<Tile>& slice) {
        VOXELGRAD_UNROLL
        for (int step = 0; step < Tile::depth; ++step) {
            const auto four = [](const float& first) {
                return *reinterpret_cast<const Pack<float, 4>*>(&first);
            };
            const Pack<float, 4> top = four(slice.a[step][row(0)]),
                                 low = four(slice.a[step][row(4)]);
            const Pack<float, 4> across = four(slice.b[step][column()]);
            VOXELGRAD_UNROLL
            for (int r = 0; r < 4; ++r) VOXELGRAD_UNROLL
            for (int c = 0; c < 4; ++c) {
                value[r][c] = fmaf(top.value[r], across.value[c], value[r][c]);
                value[r + 4][c] = fmaf(low.value[r], across.value[c], value[r + 4][c]);
            }
        }
    }
};

// Blocks of neighbouring numbers differ in their columns, so that they read the same rows.
template <class Tile>
struct GemmGrid {
    std::int64_t down, across, parts;

    template <class Pass>
    explicit GemmGrid(const Pass& pass)
        : down(divide_up(pass.most_rows(), Tile::rows)),
          across(divide_up(pass.columns(), Tile::columns)),
          parts(pass.parts()) {}
    std::int64_t blocks() const { return down * across * parts; }
};

template <class Tile, class Pass, int width>
__global__ void __launch_bounds__(Tile::threads) gemm_kernel(Pass pass, GemmGrid<Tile> grid) {
    VOXELGRAD_SHARED(slices, GemmSlice<Tile>[2]);
    VOXELGRAD_SHARED(part, typename Pass::Part);
    const std::int64_t number = blockIdx.x, strip = number / grid.across;
    pass.enter(strip / grid.down, part);
    const std::int64_t first_row = strip % grid.down * Tile::rows;
    const int first_column = static_cast<int>(number % grid.across) * Tile::columns;

    GemmFeed<Tile, Pass, width> feed(pass, part, first_row, first_column);
    GemmTotals<Tile> totals;
    const std::int64_t end = pass.end_step(part);
    std::int64_t step = pass.first_step(part);
    int current = 0;
    if (step < end) {
        feed.fetch(step);
        feed.put(slices[0]);
        __syncthreads();
    }
    for (; step < end; step += Tile::depth, current ^= 1) {
        const bool goes_on = step + Tile::depth < end;
        if (goes_on) feed.fetch(step + Tile::depth);
        totals.add(slices[current]);
        if (goes_on) feed.put(slices[current ^ 1]);
        __syncthreads();
    }
    VOXELGRAD_UNROLL
    for (int r = 0; r < Tile::thread_rows; ++r)
        pass.template store<width>(part, first_row + totals.row(r), first_column + totals.column(),
                                   totals.value[r]);
}

template <class Tile, int width, class Pass>
void launch_gemm(const char* op, Stream stream, const Pass& pass) {
    const GemmGrid<Tile> grid(pass);
    check(grid.blocks() <= INT_MAX, op, ": ", grid.blocks(), " blocks are too many for a launch");
    launch(op, stream, {dim3(static_cast<unsigned>(grid.blocks())), dim3(Tile::threads)},
           gemm_kernel<Tile, Pass, width>, pass, grid);
}

// `whole`: runs of four channels can be loaded and stored as one.
template <int rows, int columns, class Pass>
void gemm_in_tiles(const char* op, Stream stream, const Pass& pass, bool whole) {
    if (whole) return launch_gemm<GemmTile<rows, columns, 16>, 4>(op, stream, pass);
    launch_gemm<GemmTile<rows, columns, columns == 32 ? 8 : 16>, 1>(op, stream, pass);
}

template <class Pass>
void gemm(const char* op, Stream stream, const Pass& pass, bool whole) {
    if constexpr (!Pass::a_along_steps)  // images have many rows
        if (pass.most_rows() <= 32) return gemm_in_tiles<32, 64>(op, stream, pass, whole);
    if (pass.columns() <= 32) return gemm_in_tiles<128, 32>(op, stream, pass, whole);
    gemm_in_tiles<128, 64>(op, stream, pass, whole);
}

}  // namespace voxelgrad::cuda

// Matrix products on tensor cores, of bfloat16 or of float32 rounded to TF32, with sums in float32;
// operands as in gemm.cuh.
//
// A warp computes 64 x 32 of C, a block rows x columns. Slices of 64 bytes of steps are copied into
// shared memory by the device itself, two ahead of the one that is multiplied. An operand lies
// there as in global memory: runs of 16 bytes, along the steps or across them.
#pragma once

#include "cuda/core/groups.hpp"
#include "cuda/core/tensor_core.hpp"
#include "cuda/ops/gemm.cuh"

namespace voxelgrad::cuda {

// T_: the type of both operands.
template <class T_, int rows_, int columns_>
struct MmaTile {
    using T = T_;
    static constexpr int rows = rows_, columns = columns_, slices = 3;
    static constexpr int width = full_width<T>, depth = 4 * width;
    static constexpr int steps = 2 * width;  // of one product
    static constexpr int warp_rows = 64, warp_columns = 32;
    static constexpr int warps_across = columns / warp_columns;
    static constexpr int threads = rows / warp_rows * warps_across * 32;
};

// One operand of a slice, padded so that what is read together lies in different banks.
template <class T, int extent, int depth, bool along_steps>
struct MmaOperand {
    static constexpr int lines = along_steps ? extent : depth;
    static constexpr int pitch = along_steps ? depth + full_width<T> : extent + 8;
    alignas(16) T value[lines][pitch];

    __device__ T* at(int lane, int step) {
        return along_steps ? &value[lane][step] : &value[step][lane];
    }

    // 16 lanes (rows or columns of C) by the steps of one product, in four parts of 8 lanes by half
    // of the steps: low and high lanes at low steps, then at high ones; if `steps_first`, low lanes
    // at low and high steps, then high ones.
    template <bool steps_first>
    __device__ void load(std::uint32_t (&to)[4], int lane, int step) {
        const int thread = threadIdx.x % 32;
        const auto part_of = [&](int part) {
            return at(lane + (steps_first ? part / 2 : part % 2) * 8,
                      step + (steps_first ? part % 2 : part / 2) * full_width<T>);
        };
        if constexpr (along_steps || std::is_same_v<T, bf16>) {
            load_matrices<!along_steps>(to, part_of(thread / 8) + thread % 8 * pitch);
        } else {
            VOXELGRAD_UNROLL
            for (int part = 0; part < 4; ++part)
                to[part] = __float_as_uint(part_of(part)[thread % 4 * pitch + thread / 4]);
        }
        if constexpr (std::is_same_v<T, float>) {
            VOXELGRAD_UNROLL
            for (int part = 0; part < 4; ++part) to[part] = to_tf32(to[part]);
        }
    }
};

template <class Tile, class Pass>
struct MmaSlice {
    MmaOperand<typename Tile::T, Tile::rows, Tile::depth, Pass::a_along_steps> a;
    MmaOperand<typename Tile::T, Tile::columns, Tile::depth, Pass::b_along_steps> b;
};

// What a thread copies into slices: runs of 16 bytes, to where an operand has its place for them.
template <class Tile, class Pass>
struct MmaFeed : GemmLanes<Tile, Pass, Tile::width> {
    using Lanes = GemmLanes<Tile, Pass, Tile::width>;
    using Lanes::Lanes, Lanes::pass, Lanes::part, Lanes::row, Lanes::column;
    using typename Lanes::LoadsA, typename Lanes::LoadsB;

    template <class Operand>
    __device__ void copy_a(std::int64_t first_step, Operand& to) const {
        typename Pass::Step step{};
        VOXELGRAD_UNROLL
        for (int r = 0; r < LoadsA::runs; ++r) {
            if (r < LoadsA::steps) step = pass.step(part, first_step + LoadsA::step(r));
            copy_later(to.at(LoadsA::lane(r), LoadsA::step(r)),
                       pass.a(row[r % LoadsA::lanes], step));
        }
    }
    template <class Operand>
    __device__ void copy_b(std::int64_t first_step, Operand& to) const {
        typename Pass::Step step{};
        VOXELGRAD_UNROLL
        for (int r = 0; r < LoadsB::runs; ++r) {
            if (r < LoadsB::steps) step = pass.step(part, first_step + LoadsB::step(r));
            copy_later(to.at(LoadsB::lane(r), LoadsB::step(r)),
                       pass.b(step, column[r % LoadsB::lanes]));
        }
    }
    __device__ void copy(std::int64_t first_step, MmaSlice<Tile, Pass>& slice) const {
        copy_a(first_step, slice.a);
        copy_b(first_step, slice.b);
    }
};

// Turns a 4 x 4 matrix of pairs, of which each of four lanes holds a row.
__device__ inline void turn_pairs(float (&pair)[4][2]) {
    VOXELGRAD_UNROLL
    for (int bit = 1; bit < 4; bit *= 2) VOXELGRAD_UNROLL
    for (int low = 0; low < 4; ++low) VOXELGRAD_UNROLL
    for (int i = 0; i < 2; ++i) {
        if (low & bit) continue;
        float &a = pair[low][i], &b = pair[low | bit][i];
        const bool is_upper = threadIdx.x & bit;
        const float other = __shfl_xor_sync(whole_warp, is_upper ? a : b, bit);
        a = is_upper ? other : a;
        b = is_upper ? b : other;
    }
}

// Stores 16 rows of C of which a warp holds blocks of 16 x 8, four elements of each a thread: two
// neighbours of row lane / 4, then of the eighth row after it. Where packs are stored, the four
// lanes of a row swap what they hold of four blocks, so that each has a row of one.
template <int blocks, class Pass>
__device__ void store_blocks(const Pass& pass, const typename Pass::Part& part, std::int64_t row,
                             int column, const float (&value)[blocks][4]) {
    static_assert(blocks % 4 == 0);
    const int lane = threadIdx.x % 32, own = lane % 4;
    VOXELGRAD_UNROLL
    for (int half = 0; half < 2; ++half) {
        auto* const target = pass.target_of(part, row + lane / 4 + half * 8);
        VOXELGRAD_UNROLL
        for (int j = 0; j < blocks; j += 4) {
            float pair[4][2];
            VOXELGRAD_UNROLL
            for (int i = 0; i < 8; ++i) pair[i / 2][i % 2] = value[j + i / 2][half * 2 + i % 2];
            if constexpr (Pass::stored > 1) {
                turn_pairs(pair);
                const float all[8] = {pair[0][0], pair[0][1], pair[1][0], pair[1][1],
                                      pair[2][0], pair[2][1], pair[3][0], pair[3][1]};
                pass.template store<Pass::stored>(part, target, column + (j + own) * 8, all);
            } else {
                VOXELGRAD_UNROLL
                for (int i = 0; i < 4; ++i)
                    pass.template store<1>(part, target, column + (j + i) * 8 + own * 2, pair[i]);
            }
        }
    }
}

// The part of C that a warp computes: blocks of 16 x 8, of which each thread holds four elements.
template <class Tile, class Pass>
struct MmaTotals {
    static constexpr int down = Tile::warp_rows / 16, across = Tile::warp_columns / 8;
    float value[down][across][4] = {};

    __device__ static int first_row() {
        return threadIdx.x / 32 / Tile::warps_across * Tile::warp_rows;
    }
    __device__ static int first_column() {
        return threadIdx.x / 32 % Tile::warps_across * Tile::warp_columns;
    }

    __device__ void add(MmaSlice<Tile, Pass>& slice) {
        VOXELGRAD_UNROLL
        for (int step = 0; step < Tile::depth; step += Tile::steps) {
            std::uint32_t a[down][4], b[across / 2][4];
            VOXELGRAD_UNROLL
            for (int i = 0; i < down; ++i)
                slice.a.template load<false>(a[i], first_row() + i * 16, step);
            VOXELGRAD_UNROLL
            for (int j = 0; j < across / 2; ++j)  // two blocks of C, one after the other
                slice.b.template load<true>(b[j], first_column() + j * 16, step);
            VOXELGRAD_UNROLL
            for (int i = 0; i < down; ++i) VOXELGRAD_UNROLL
            for (int j = 0; j < across; ++j) {
                const std::uint32_t half[2] = {b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]};
                multiply_add<typename Tile::T>(value[i][j], a[i], half);
            }
        }
    }

    __device__ void store(const Pass& pass, const typename Pass::Part& part, std::int64_t row,
                          int column) const {
        VOXELGRAD_UNROLL
        for (int i = 0; i < down; ++i)
            store_blocks(pass, part, row + first_row() + i * 16, column + first_column(), value[i]);
    }
};

template <class Tile, class Pass>
__global__ void __launch_bounds__(Tile::threads) mma_kernel(Pass pass, GemmGrid<Tile> grid) {
    auto* const slices = dynamic_shared<MmaSlice<Tile, Pass>>();
    VOXELGRAD_SHARED(part, typename Pass::Part);
    const std::int64_t number = blockIdx.x, strip = number / grid.across;
    pass.enter(strip / grid.down, part);
    const std::int64_t first_row = strip % grid.down * Tile::rows;
    const int first_column = static_cast<int>(number % grid.across) * Tile::columns;

    const MmaFeed<Tile, Pass> feed(pass, part, first_row, first_column);
    MmaTotals<Tile, Pass> totals;
    const std::int64_t first = pass.first_step(part), end = pass.end_step(part);
    constexpr int ahead = Tile::slices - 1;
    VOXELGRAD_UNROLL
    for (int s = 0; s < ahead; ++s) {
        if (first + s * Tile::depth < end) feed.copy(first + s * Tile::depth, slices[s]);
        end_batch();
    }
    int current = 0, next = ahead;
    for (std::int64_t step = first; step < end; step += Tile::depth) {
        wait_for_batches<ahead - 1>();
        __syncthreads();  // the slice is there, and nobody reads the one before any more
        if (step + ahead * Tile::depth < end) feed.copy(step + ahead * Tile::depth, slices[next]);
        end_batch();
        totals.add(slices[current]);
        current = current + 1 == Tile::slices ? 0 : current + 1;
        next = next + 1 == Tile::slices ? 0 : next + 1;
    }
    wait_for_batches<0>();
    totals.store(pass, part, first_row, first_column);
}

template <class Tile, class Pass>
void launch_mma(const char* op, Stream stream, const Pass& pass) {
    const GemmGrid<Tile> grid(pass);
    check(grid.blocks() <= INT_MAX, op, ": ", grid.blocks(), " blocks are too many for a launch");
    launch(op, stream,
           {dim3(static_cast<unsigned>(grid.blocks())), dim3(Tile::threads),
            Tile::slices * sizeof(MmaSlice<Tile, Pass>)},
           mma_kernel<Tile, Pass>, pass, grid);
}

// T: the type of both operands. Channels on both sides must come in runs of 16 bytes, at addresses
// that are multiples of 16.
template <class T, class Pass>
void mma(const char* op, Stream stream, const Pass& pass) {
    if (pass.most_rows() <= 64) return launch_mma<MmaTile<T, 64, 128>>(op, stream, pass);
    if (pass.columns() <= 32) return launch_mma<MmaTile<T, 128, 32>>(op, stream, pass);
    if (pass.columns() <= 64) return launch_mma<MmaTile<T, 128, 64>>(op, stream, pass);
    launch_mma<MmaTile<T, 128, 128>>(op, stream, pass);
}

}  // namespace voxelgrad::cuda

// Copies with the axes in another order; semantics as in cpp/ops/shape.hpp.
#pragma once

#include <algorithm>

#include "cuda/core/divisor.hpp"
#include "cuda/core/launch.hpp"
#include "cuda/core/pack.hpp"
#include "ops/moved_axes.hpp"

namespace voxelgrad::cuda {

constexpr int tile_side = 32;
constexpr int tile_rows = block_threads / tile_side;  // that are moved at a time

// Axes over which matrices or runs are repeated.
struct MovedAxes {
    int rank = 0;
    MovedAxis axis[max_rank];
    WideDivisor length[max_rank];

    void add(const MovedAxis& one) {
        length[rank] = WideDivisor(one.length);
        axis[rank++] = one;
    }
    std::int64_t positions() const {
        std::int64_t count = 1;
        for (int a = 0; a < rank; ++a) count *= axis[a].length;
        return count;
    }
    __device__ void find(std::int64_t number, std::int64_t& input, std::int64_t& output) const {
        for (int a = rank - 1; a >= 0; --a) {
            const auto [next, place] = length[a].split(number);
            input += place * axis[a].input_step;
            output += place * axis[a].output_step;
            number = next;
        }
    }
};

// The last axis stays the last: a thread copies one pack of it.
template <int width, class T>
__global__ void moved_runs_kernel(MovedAxes axes, WideDivisor packs_a_run, std::int64_t packs,
                                  const T* input, T* output) {
    const std::int64_t thread = std::int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (thread >= packs) return;
    const auto [run, pack] = packs_a_run.split(thread);
    std::int64_t from = pack * width, to = from;
    axes.find(run, from, to);
    *reinterpret_cast<Pack<T, width>*>(output + to) = load_pack<width>(input + from);
}

// Matrices whose rows are the input's last axis and whose columns are the output's: a block turns
// one tile, so that both sides are gone through in neighbours.
template <class T>
__global__ void turned_tiles_kernel(MovedAxes axes, MovedAxis row, MovedAxis column,
                                    std::int64_t bands, std::int64_t strips, const T* input,
                                    T* output) {
    VOXELGRAD_SHARED(tile, T[tile_side][tile_side + 1]);
    // Numbers of blocks fit into 32 bits, which are divided sooner.
    const unsigned line = blockIdx.x / static_cast<unsigned>(strips);
    const std::int64_t first_column =
        std::int64_t(blockIdx.x % static_cast<unsigned>(strips)) * tile_side;
    const std::int64_t matrix = line / static_cast<unsigned>(bands);
    const std::int64_t first_row = std::int64_t(line % static_cast<unsigned>(bands)) * tile_side;
    std::int64_t from = 0, to = 0;
    axes.find(matrix, from, to);
    const int x = threadIdx.x % tile_side, y = threadIdx.x / tile_side;
    for (int i = y; i < tile_side; i += tile_rows)
        if (first_row + x < row.length && first_column + i < column.length)
            tile[i][x] = input[from + first_row + x + (first_column + i) * column.input_step];
    __syncthreads();
    for (int i = y; i < tile_side; i += tile_rows)
        if (first_row + i < row.length && first_column + x < column.length)
            output[to + (first_row + i) * row.output_step + first_column + x] = tile[x][i];
}

template <class T>
void move_runs(Stream stream, const MovedAxes& axes, std::int64_t length, const T* input,
               T* output) {
    bool in_packs = packs_fit<T>(length, input, output);
    for (int a = 0; a < axes.rank; ++a)
        in_packs = in_packs && axes.axis[a].input_step % full_width<T> == 0;
    const std::int64_t packs_a_run = in_packs ? length / full_width<T> : length;
    const std::int64_t packs = axes.positions() * packs_a_run;
    launch("transpose", stream, threads_for(packs),
           in_packs ? moved_runs_kernel<full_width<T>, T> : moved_runs_kernel<1, T>, axes,
           WideDivisor(packs_a_run), packs, input, output);
}

template <class T>
void transpose(Stream stream, View<const T> input, View<T> output, const Dims& order) {
    check_transpose(input, output, order);
    if (input.size() == 0) return;
    std::vector<MovedAxis> merged = merged_axes(input, order);
    const MovedAxis column = merged.back();
    merged.pop_back();
    MovedAxis row{};
    MovedAxes axes;
    for (const MovedAxis& axis : merged) {
        if (axis.input_step == 1)
            row = axis;
        else
            axes.add(axis);
    }
    if (column.input_step == 1)
        return move_runs(stream, axes, column.length, input.data, output.data);
    const std::int64_t bands = divide_up(row.length, tile_side);
    const std::int64_t strips = divide_up(column.length, tile_side);
    const Grid grid{dim3(static_cast<unsigned>(axes.positions() * bands * strips)),
                    dim3(block_threads)};
    launch("transpose", stream, grid, turned_tiles_kernel<T>, axes, row, column, bands, strips,
           input.data, output.data);
}

}  // namespace voxelgrad::cuda

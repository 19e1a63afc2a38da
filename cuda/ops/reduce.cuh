// Sums over axes; semantics as in cpp/ops/reduce.hpp, but partial sums are float.
#pragma once

#include <algorithm>
#include <optional>

#include "core/check.hpp"
#include "cuda/core/divisor.hpp"
#include "cuda/core/groups.hpp"
#include "cuda/core/workspace.hpp"
#include "cuda/ops/arithmetic.cuh"
#include "ops/axis_groups.hpp"

namespace voxelgrad::cuda {

constexpr int most_columns = 32;      // of a block: neighbours in memory are summed side by side
constexpr int numbers_a_thread = 64;  // that one thread adds up at most; then partial sums follow

// (outer, reduced, inner) -> (outer, segments, inner): sums of `length` of the reduced elements.
// A block is `columns` packs of inner by `rows` of a segment by some segments.
struct Sums {
    std::int64_t outer, reduced, inner, segments, length;
    int width, columns, rows;
    WideDivisor by_segments;

    Sums(std::int64_t outer, std::int64_t reduced, std::int64_t inner, int width)
        : outer(outer),
          reduced(reduced),
          inner(inner),
          width(width),
          columns(power_of_two_up_to(inner / width, most_columns)),
          rows(power_of_two_up_to(reduced, block_threads / columns)) {
        const std::int64_t most = std::int64_t(rows) * numbers_a_thread;
        length = even_part(reduced, most);
        segments = divide_up(reduced, length);
        by_segments = WideDivisor(segments);
    }
    constexpr std::int64_t strips() const { return divide_up(inner / width, columns); }
    constexpr int segments_a_block() const { return block_threads / (columns * rows); }
    constexpr std::int64_t results() const { return outer * segments * inner; }
    std::int64_t blocks() const {
        return divide_up(outer * segments, segments_a_block()) * strips();
    }
};

template <int width, class In, class Out>
__global__ void __launch_bounds__(block_threads)
    sum_kernel(Sums sums, float scale, const In* input, Out* output) {
    VOXELGRAD_SHARED(totals, float[width][block_threads]);
    const int thread = threadIdx.x;
    const int row = thread / sums.columns % sums.rows;
    // Numbers of blocks fit into 32 bits, which are divided sooner.
    const auto strips = static_cast<unsigned>(sums.strips());
    const std::int64_t strip = blockIdx.x % strips;
    const std::int64_t segment = std::int64_t(blockIdx.x / strips) * sums.segments_a_block() +
                                 thread / (sums.columns * sums.rows);
    const std::int64_t column = (strip * sums.columns + thread % sums.columns) * width;
    const bool exists = segment < sums.outer * sums.segments && column < sums.inner;
    float total[width] = {};
    if (exists) {
        const auto [outer, own] = sums.by_segments.split(segment);
        const std::int64_t first = own * sums.length;
        const std::int64_t end = std::min(first + sums.length, sums.reduced);
        const In* const from = input + outer * sums.reduced * sums.inner + column;
        for (std::int64_t r = first + row; r < end; r += sums.rows) {
            const auto pack = load_pack<width>(from + r * sums.inner);
            VOXELGRAD_UNROLL
            for (int i = 0; i < width; ++i) total[i] += to_float(pack.value[i]);
        }
    }
    VOXELGRAD_UNROLL
    for (int i = 0; i < width; ++i) totals[i][thread] = total[i];
    for (int half = sums.rows / 2; half > 0; half /= 2) {
        __syncthreads();
        if (row >= half) continue;
        VOXELGRAD_UNROLL
        for (int i = 0; i < width; ++i)
            totals[i][thread] += totals[i][thread + half * sums.columns];
    }
    if (!exists || row != 0) return;
    VOXELGRAD_UNROLL
    for (int i = 0; i < width; ++i)
        output[segment * sums.inner + column + i] = rounded_to<Out>(scale * totals[i][thread]);
}

template <class In, class Out>
void launch_sums(Stream stream, const Sums& sums, float scale, const In* input, Out* output) {
    const Grid grid{dim3(static_cast<unsigned>(sums.blocks())), dim3(block_threads)};
    launch("reduce_sum", stream, grid,
           sums.width > 1 ? sum_kernel<full_width<In>, In, Out> : sum_kernel<1, In, Out>, sums,
           scale, input, output);
}

// Sums over groups of axes, the last one first; the order is fixed by the shape.
template <class In, class Out>
void sum_groups(Stream stream, const In* input, Groups groups, float scale, Out* output) {
    int last = groups.count - 1;
    std::int64_t inner = 1;
    for (; !groups.reduced[last]; --last) inner *= groups.extent[last];
    std::int64_t outer = 1;
    bool is_final = true;
    for (int i = 0; i < last; ++i) {
        outer *= groups.extent[i];
        is_final = is_final && !groups.reduced[i];
    }
    const Sums sums(outer, groups.extent[last], inner,
                    packs_fit<In>(inner, input) ? full_width<In> : 1);
    if (is_final && sums.segments == 1) return launch_sums(stream, sums, scale, input, output);
    const Workspace<float> partial(sums.results());
    launch_sums(stream, sums, 1.0f, input, partial.data());
    groups.extent[last] = sums.segments;
    groups.reduced[last] = sums.segments > 1;
    sum_groups(stream, static_cast<const float*>(partial.data()), groups, scale, output);
}

template <class In, class Out>
void reduce_sum(Stream stream, View<const In> input, View<Out> output, double scale) {
    check_reduction(input, output);
    const float factor = static_cast<float>(scale);
    if (same_shape(input, output))
        return map("reduce_sum", stream, Scaled{factor}, output.size(), output.data, input.data);
    if (input.size() == 0) return fill(stream, output, 0.0);
    sum_groups(stream, input.data, group_axes(input, output), factor, output.data);
}

}  // namespace voxelgrad::cuda

#include "ops/reduce.hpp"

#include <memory>
#include <type_traits>

#include "core/check.hpp"
#include "core/parallel_for.hpp"
#include "core/pool.hpp"
#include "kernels/reduce.hpp"
#include "ops/arithmetic.hpp"
#include "ops/axis_groups.hpp"

namespace voxelgrad {
namespace {

constexpr std::int64_t block_elements = 1 << 16;  // what one task sums up
constexpr std::int64_t least_rows = 64;           // of a task: bounds the memory of partial sums
constexpr std::int64_t totals_length = 2048;      // running sums of a task: 16 KiB, stays in L1

template <class T>
double sum(const T* input, std::int64_t count) {
    return reduce_kernels<T>().sum(input, count);
}

template <>
double sum(const double* input, std::int64_t count) {
    double total = 0.0;
    for (std::int64_t i = 0; i < count; ++i) total += input[i];
    return total;
}

template <class T>
void add_to(double* totals, const T* input, std::int64_t count) {
    reduce_kernels<T>().add_to(totals, input, count);
}

template <>
void add_to(double* totals, const double* input, std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) totals[i] += input[i];
}

// Writes the sums over the rows of (rows, columns), which lie `pitch` elements apart. Short rows
// that touch each other are summed several at a time, which makes the inner loop long.
template <class T>
void sum_columns(const T* input, std::int64_t rows, std::int64_t columns, std::int64_t pitch,
                 double* output) {
    double totals[totals_length];
    const std::int64_t fitting = std::min(rows, totals_length / columns);
    const std::int64_t together = pitch == columns ? fitting : 1;
    std::fill_n(totals, together * columns, 0.0);
    for (std::int64_t row = 0; row < rows; row += together)
        add_to(totals, input + row * pitch, std::min(together, rows - row) * columns);
    std::copy_n(totals, columns, output);
    for (std::int64_t row = 1; row < together; ++row)
        add_to(output, totals + row * columns, columns);
}

// (outer, reduced, inner) -> (outer, inner). Blocks of rows are summed on their own, then the sums
// of the blocks in the same way.
template <class T>
void reduce_middle(const T* input, std::int64_t outer, std::int64_t reduced, std::int64_t inner,
                   double* output) {
    const std::int64_t block = std::max(least_rows, block_elements / inner);
    const std::int64_t blocks = (reduced + block - 1) / block;
    const std::int64_t width = std::min(inner, totals_length);
    const std::int64_t strips = (inner + width - 1) / width;
    const Workspace<double> partial(blocks == 1 ? 0 : outer * blocks * inner);
    double* const sums = blocks == 1 ? output : partial.data();

    const std::int64_t task_elements = std::min(block, reduced) * width;
    const std::int64_t tasks_per_chunk = std::max<std::int64_t>(1, block_elements / task_elements);
    parallel_for_ranges(
        outer * blocks * strips, tasks_per_chunk, [&](std::int64_t task, std::int64_t end) {
            for (; task < end; ++task) {
                const std::int64_t strip = task % strips, segment = task / strips;
                const std::int64_t first = segment % blocks * block;
                const std::int64_t rows = std::min(block, reduced - first);
                const std::int64_t column = strip * width,
                                   columns = std::min(width, inner - column);
                const T* const from = input + (segment / blocks * reduced + first) * inner + column;
                double* const to = sums + segment * inner + column;
                if (inner == 1)
                    *to = sum(from, rows);
                else
                    sum_columns(from, rows, columns, inner, to);
            }
        });
    if (blocks > 1) reduce_middle(partial.data(), outer, blocks, inner, output);
}

// Nothing is summed.
template <class In, class Out>
void scale_all(const View<const In>& input, const View<Out>& output, double scale) {
    if constexpr (std::is_same_v<In, Out>) return broadcast_to(input, output, scale);
    for (std::int64_t i = 0; i < output.size(); ++i)
        output.data[i] = rounded_to<Out>(static_cast<float>(scale) * to_float(input.data[i]));
}

}  // namespace

template <class In, class Out>
void reduce_sum(View<const In> input, View<Out> output, double scale) {
    check_reduction(input, output);
    if (same_shape(input, output)) return scale_all(input, output, scale);
    if (input.size() == 0) {
        std::fill_n(output.data, output.size(), Out{});
        return;
    }

    const Groups groups = group_axes(input, output);
    std::int64_t outer = input.size(), inner = 1;
    std::unique_ptr<Workspace<double>> sums;
    for (int group = groups.count - 1; group >= 0; --group) {
        const std::int64_t extent = groups.extent[group];
        outer /= extent;
        if (!groups.reduced[group]) {
            inner *= extent;
            continue;
        }
        auto next = std::make_unique<Workspace<double>>(outer * inner);
        if (sums)
            reduce_middle(sums->data(), outer, extent, inner, next->data());
        else
            reduce_middle(input.data, outer, extent, inner, next->data());
        sums = std::move(next);
    }
    for (std::int64_t i = 0; i < output.size(); ++i)
        output.data[i] = rounded_to<Out>(static_cast<float>(scale * (*sums)[i]));
}

template void reduce_sum(View<const float>, View<float>, double);
template void reduce_sum(View<const bf16>, View<bf16>, double);
template void reduce_sum(View<const bf16>, View<float>, double);

}  // namespace voxelgrad

#include "ops/arithmetic.hpp"

#include <algorithm>
#include <memory>

#include "core/bf16.hpp"
#include "core/check.hpp"
#include "core/parallel_for.hpp"
#include "core/pool.hpp"
#include "core/streaming.hpp"
#include "kernels/arithmetic.hpp"
#include "kernels/copy.hpp"
#include "ops/broadcast.hpp"
#include "ops/kind_names.hpp"

namespace voxelgrad {
namespace {

constexpr std::int64_t grain = 1 << 15;      // elements a chunk: at most 128 KiB an array
constexpr std::int64_t short_row = 256;      // rows below it are repeated until they are longer
constexpr std::int64_t repeated_row = 1024;  // up to here

// The largest number of rows that divides `rows` and is at most `most`.
std::int64_t largest_divisor(std::int64_t rows, std::int64_t most) {
    std::int64_t divisor = std::min(rows, most);
    while (rows % divisor != 0) --divisor;
    return divisor;
}

// Where `operand` repeats short rows (a bias over pixels), it is written out with several rows one
// after the other, so that the inner loop is long. Returns the memory of the longer rows.
template <class T>
std::unique_ptr<Workspace<T>> lengthen_rows(Broadcast<T>& problem, Operand<T>& operand,
                                            Operand<T>& other) {
    const int inner = problem.rank - 1, outer = inner - 1;
    if (outer < 0 || problem.inner() >= short_row || operand.stride[inner] != 1 ||
        operand.stride[outer] != 0 ||
        !continues(other, outer, other.stride[inner], problem.inner()))
        return nullptr;
    const std::int64_t length = problem.inner();
    const std::int64_t copies = largest_divisor(problem.extent[outer], repeated_row / length);
    std::int64_t rows = 1;
    for (int axis = 0; axis < outer; ++axis)
        rows *= operand.stride[axis] ? problem.extent[axis] : 1;
    auto longer = std::make_unique<Workspace<T>>(rows * copies * length);
    for (std::int64_t i = 0; i < rows * copies; ++i)
        std::copy_n(operand.data + i / copies * length, length, longer->data() + i * length);

    operand.data = longer->data();
    for (int axis = 0; axis < outer; ++axis) operand.stride[axis] *= copies;
    problem.extent[outer] /= copies;
    problem.extent[inner] *= copies;
    other.stride[outer] *= copies;
    return longer;
}

// Calls body(offset_a, offset_b, position, count) for the runs of the inner axis that make up the
// output's elements [begin, end).
template <class T, class Body>
void for_each_run(const Broadcast<T>& problem, std::int64_t begin, std::int64_t end, Body body) {
    const int inner = problem.rank - 1;
    while (begin < end) {
        std::int64_t row = begin / problem.inner();
        const std::int64_t column = begin - row * problem.inner();
        const std::int64_t count = std::min(problem.inner() - column, end - begin);
        std::int64_t a = column * problem.a.stride[inner], b = column * problem.b.stride[inner];
        for (int axis = inner - 1; axis >= 0; --axis) {
            const std::int64_t rest = axis == 0 ? 0 : row / problem.extent[axis];
            const std::int64_t place = row - rest * problem.extent[axis];
            a += place * problem.a.stride[axis];
            b += place * problem.b.stride[axis];
            row = rest;
        }
        body(a, b, begin, count);
        begin += count;
    }
}

// Calls kernel(a, step_a, b, step_b, output, count, past_cache) for all runs, in parallel chunks.
template <class T, class Kernel>
void run(const View<const T>& a, const View<const T>& b, const View<T>& output, Kernel kernel) {
    if (output.size() == 0) return;
    Broadcast<T> problem = collapse(a, b, output);
    auto longer = lengthen_rows(problem, problem.a, problem.b);
    if (!longer) longer = lengthen_rows(problem, problem.b, problem.a);
    const std::int64_t step_a = problem.a.stride[problem.rank - 1];
    const std::int64_t step_b = problem.b.stride[problem.rank - 1];
    const bool in_place = output.data == a.data || output.data == b.data;
    const std::int64_t unit = problem.rank == 1 ? grain : problem.inner();
    const bool past_cache = !in_place && worth_streaming(output.data, output.size(), unit);
    parallel_for_ranges(output.size(), grain, [&](std::int64_t begin, std::int64_t end) {
        for_each_run(problem, begin, end,
                     [&](std::int64_t at_a, std::int64_t at_b, std::int64_t at, std::int64_t n) {
                         kernel(problem.a.data + at_a, step_a, problem.b.data + at_b, step_b,
                                output.data + at, n, past_cache);
                     });
        if (past_cache) copy_kernels().fence();
    });
}

}  // namespace

template <class T>
void binary_forward(const std::string& kind, View<const T> a, View<const T> b, View<T> output) {
    const Binary operation = binary_kind(kind);
    check_broadcast(a, b, output);
    const auto& kernels = arithmetic_kernels<T>();
    run(a, b, output, [&](auto... arguments) { kernels.binary(operation, arguments...); });
}

template <class T>
void broadcast_to(View<const T> input, View<T> output, double scale) {
    check_expands(input, output);
    const float factor = static_cast<float>(scale);
    const auto& kernels = arithmetic_kernels<T>();
    // The second operand is one number that nobody reads.
    run(input, View<const T>{.data = input.data}, output,
        [&](const T* from, std::int64_t step, const T*, std::int64_t, T* to, std::int64_t count,
            bool past_cache) { kernels.scale(from, step, factor, to, count, past_cache); });
}

template <class T>
void fill(View<T> output, double value) {
    parallel_for_ranges(output.size(), grain, [&](std::int64_t begin, std::int64_t end) {
        std::fill(output.data + begin, output.data + end, rounded_to<T>(static_cast<float>(value)));
    });
}

template void fill(View<float>, double);
template void fill(View<bf16>, double);
template void binary_forward(const std::string&, View<const float>, View<const float>, View<float>);
template void binary_forward(const std::string&, View<const bf16>, View<const bf16>, View<bf16>);
template void broadcast_to(View<const float>, View<float>, double);
template void broadcast_to(View<const bf16>, View<bf16>, double);

}  // namespace voxelgrad

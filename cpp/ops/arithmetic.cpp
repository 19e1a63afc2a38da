#include "ops/arithmetic.hpp"

#include <algorithm>
#include <iterator>
#include <memory>

#include "core/bf16.hpp"
#include "core/check.hpp"
#include "core/parallel_for.hpp"
#include "core/pool.hpp"
#include "core/streaming.hpp"
#include "kernels/arithmetic.hpp"
#include "kernels/copy.hpp"

namespace voxelgrad {
namespace {

constexpr std::int64_t grain = 1 << 15;      // elements a chunk: at most 128 KiB an array
constexpr std::int64_t short_row = 256;      // rows below it are repeated until they are longer
constexpr std::int64_t repeated_row = 1024;  // up to here

template <class T>
struct Operand {
    const T* data;
    std::int64_t stride[max_rank];  // 0 along axes where the operand is repeated
};

// Both operands on the axes of the output; neighbouring axes that both operands go through in one
// stride are one axis.
template <class T>
struct Broadcast {
    int rank = 0;
    std::int64_t extent[max_rank];
    Operand<T> a, b;

    std::int64_t inner() const { return extent[rank - 1]; }
};

Binary kind_of(const std::string& name) {
    constexpr const char* names[] = {"add", "sub", "mul", "div", "maximum", "minimum"};
    for (int i = 0; i < static_cast<int>(std::size(names)); ++i)
        if (name == names[i]) return static_cast<Binary>(i);
    fail("binary_forward: kind '", name, "' is unknown");
}

// Strides of an operand on the axes of `output`, with which its last axes are aligned.
template <class T>
void set_strides(const View<const T>& operand, const View<T>& output,
                 std::int64_t (&stride)[max_rank]) {
    std::int64_t dense = 1;
    for (int axis = output.rank - 1; axis >= 0; --axis) {
        const int own_axis = axis - (output.rank - operand.rank);
        const std::int64_t extent = own_axis < 0 ? 1 : operand[own_axis];
        stride[axis] = extent == 1 ? 0 : dense;
        dense *= extent;
    }
}

template <class T>
bool continues(const Operand<T>& operand, int axis, std::int64_t stride, std::int64_t extent) {
    return operand.stride[axis] == stride * extent;
}

template <class T>
Broadcast<T> collapse(const View<const T>& a, const View<const T>& b, const View<T>& output) {
    std::int64_t stride_a[max_rank], stride_b[max_rank];
    set_strides(a, output, stride_a);
    set_strides(b, output, stride_b);
    Broadcast<T> problem{.rank = 1, .extent = {1}, .a = {a.data, {}}, .b = {b.data, {}}};
    for (int axis = 0; axis < output.rank; ++axis) {
        const std::int64_t extent = output[axis];
        if (extent == 1) continue;
        int last = problem.rank - 1;
        const bool merges = continues(problem.a, last, stride_a[axis], extent) &&
                            continues(problem.b, last, stride_b[axis], extent);
        if (problem.extent[last] == 1)
            problem.extent[last] = extent;
        else if (merges)
            problem.extent[last] *= extent;
        else
            problem.extent[last = problem.rank++] = extent;
        problem.a.stride[last] = stride_a[axis];
        problem.b.stride[last] = stride_b[axis];
    }
    return problem;
}

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

// The extent of `view` along an axis of an array with `rank` axes, to whose end it is aligned.
template <class T>
std::int64_t extent_at(const View<const T>& view, int axis, int rank) {
    const int own_axis = axis - (rank - view.rank);
    return own_axis < 0 ? 1 : view[own_axis];
}

template <class T>
void check_broadcast(const View<const T>& a, const View<const T>& b, const View<T>& output) {
    bool fits = std::max(a.rank, b.rank) == output.rank;
    for (int axis = 0; fits && axis < output.rank; ++axis) {
        const std::int64_t in_a = extent_at(a, axis, output.rank);
        const std::int64_t in_b = extent_at(b, axis, output.rank);
        fits =
            (in_a == in_b || in_a == 1 || in_b == 1) && output[axis] == (in_a == 1 ? in_b : in_a);
    }
    check(fits, "binary_forward: a ", a, " and b ", b, " do not broadcast to output ", output);
}

}  // namespace

template <class T>
void binary_forward(const std::string& kind, View<const T> a, View<const T> b, View<T> output) {
    const Binary operation = kind_of(kind);
    check_broadcast(a, b, output);
    const auto& kernels = arithmetic_kernels<T>();
    run(a, b, output, [&](auto... arguments) { kernels.binary(operation, arguments...); });
}

template <class T>
void broadcast_to(View<const T> input, View<T> output, double scale) {
    bool fits = input.rank == output.rank;
    for (int axis = 0; fits && axis < output.rank; ++axis)
        fits = input[axis] == output[axis] || input[axis] == 1;
    check(fits, "broadcast_to: input ", input, " does not expand to output ", output);
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

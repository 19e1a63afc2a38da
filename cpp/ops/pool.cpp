#include "ops/pool.hpp"

#include <algorithm>
#include <limits>
#include <vector>

#include "core/check.hpp"
#include "ops/window.hpp"

namespace voxelgrad {
namespace {

using std::int64_t;

struct PoolSettings {
    const char* op;
    const Dims &kernel_size, &stride, &padding;
};

// The windows of a pool along one axis. place_step: of neighbours in the window, row-major.
WindowAxis pool_axis(const PoolSettings& pool, int axis, int64_t input, int64_t output,
                     int64_t place_step, bool count_include_pad) {
    const int64_t kernel = pool.kernel_size[axis], stride = pool.stride[axis];
    const int64_t padding = pool.padding[axis];
    check(kernel > 0 && stride > 0 && padding >= 0 && padding < kernel, pool.op,
          ": kernel_size, stride and padding are ", kernel, ", ", stride, " and ", padding,
          " along spatial axis ", axis, "; padding must be less than kernel_size");
    check(output == 0 || (output - 1) * stride - padding < input, pool.op, ": window ", output - 1,
          " along spatial axis ", axis, " begins outside an input of length ", input);
    WindowAxis table{input, {0}, {}};
    for (int64_t o = 0; o < output; ++o) {
        const int64_t first = o * stride - padding;
        const int64_t begin = std::max<int64_t>(first, 0), end = std::min(first + kernel, input);
        const float weight = 1.0f / static_cast<float>(count_include_pad ? kernel : end - begin);
        for (int64_t i = begin; i < end; ++i) table.add(i, (i - first) * place_step, weight);
        table.finish_target();
    }
    return table;
}

int64_t window_places(const Dims& kernel_size) {
    int64_t places = 1;
    for (int a = 0; a < kernel_size.rank; ++a) places *= kernel_size[a];
    return places;
}

// The tables of all spatial axes from the input's and the output's shape.
template <class Input, class Output>
std::vector<WindowAxis> pool_axes(const PoolSettings& pool, const View<Input>& input,
                                  const View<Output>& output, bool count_include_pad) {
    check_window_images(pool.op, input, output);
    const int rank = input.rank - 2;
    check(pool.kernel_size.rank == rank && pool.stride.rank == rank && pool.padding.rank == rank,
          pool.op, ": kernel_size, stride and padding must have ", rank, " entries each");
    std::vector<WindowAxis> axes;
    int64_t place_step = window_places(pool.kernel_size);
    for (int a = 0; a < rank; ++a) {
        place_step /= std::max<int64_t>(1, pool.kernel_size[a]);
        axes.push_back(
            pool_axis(pool, a, input[a + 1], output[a + 1], place_step, count_include_pad));
    }
    return axes;
}

template <class Input, class Output>
std::vector<WindowAxis> adaptive_axes(const char* op, const View<Input>& input,
                                      const View<Output>& output) {
    check_window_images(op, input, output);
    std::vector<WindowAxis> axes;
    for (int a = 1; a < input.rank - 1; ++a) {
        const int64_t m = input[a], n = output[a];
        check(m > 0, op, ": spatial axis ", a - 1, " of the input is empty");
        WindowAxis table{m, {0}, {}};
        for (int64_t i = 0; i < n; ++i) {
            const int64_t begin = i * m / n, end = ((i + 1) * m + n - 1) / n;
            const float weight = 1.0f / static_cast<float>(end - begin);
            for (int64_t s = begin; s < end; ++s) table.add(s, 0, weight);
            table.finish_target();
        }
        axes.push_back(std::move(table));
    }
    return axes;
}

template <class T, class Index>
const MaxKernels<T, Index>& max_kernels() {
    if constexpr (sizeof(Index) == 1)
        return window_kernels<T>().max_small;
    else
        return window_kernels<T>().max_large;
}

template <class Index>
void check_indices(const char* op, const Dims& kernel_size) {
    const int64_t most = static_cast<int64_t>(std::numeric_limits<Index>::max()) + 1;
    check(window_places(kernel_size) <= most, op, ": windows of ", window_places(kernel_size),
          " places need int32 indices");
}

}  // namespace

template <class T, class Index>
void max_pool_forward(View<const T> input, View<T> output, View<Index> indices,
                      const Dims& kernel_size, const Dims& stride, const Dims& padding) {
    constexpr const char* op = "max_pool_forward";
    check_indices<Index>(op, kernel_size);
    check_same_shape(op, "indices", indices, "output", output);
    auto axes = pool_axes({op, kernel_size, stride, padding}, input, output, true);
    const WindowPlan plan(input[0], std::move(axes), input.last());
    const auto& kernels = max_kernels<T, Index>();
    plan.for_rows(output.data, [&](const WindowRow& row, int64_t first) {
        kernels.forward(row, input.data, output.data + first, indices.data + first);
    });
}

template <class T, class Index>
void max_pool_backward(View<const T> grad_output, View<const Index> indices, View<T> grad_input,
                       const Dims& kernel_size, const Dims& stride, const Dims& padding) {
    constexpr const char* op = "max_pool_backward";
    check_indices<Index>(op, kernel_size);
    check_same_shape(op, "indices", indices, "grad_output", grad_output);
    auto axes = pool_axes({op, kernel_size, stride, padding}, grad_input, grad_output, true);
    const WindowPlan plan(grad_input[0], transposed(std::move(axes)), grad_input.last());
    const auto& kernels = max_kernels<T, Index>();
    plan.for_rows(grad_input.data, [&](const WindowRow& row, int64_t first) {
        kernels.backward(row, grad_output.data, indices.data, grad_input.data + first);
    });
}

template <class T>
void avg_pool_forward(View<const T> input, View<T> output, const Dims& kernel_size,
                      const Dims& stride, const Dims& padding, bool count_include_pad) {
    const PoolSettings pool{"avg_pool_forward", kernel_size, stride, padding};
    auto axes = pool_axes(pool, input, output, count_include_pad);
    window_sum({input[0], std::move(axes), input.last()}, input.data, output.data);
}

template <class T>
void avg_pool_backward(View<const T> grad_output, View<T> grad_input, const Dims& kernel_size,
                       const Dims& stride, const Dims& padding, bool count_include_pad) {
    const PoolSettings pool{"avg_pool_backward", kernel_size, stride, padding};
    auto axes = transposed(pool_axes(pool, grad_input, grad_output, count_include_pad));
    window_sum({grad_input[0], std::move(axes), grad_input.last()}, grad_output.data,
               grad_input.data);
}

template <class T>
void adaptive_avg_pool_forward(View<const T> input, View<T> output) {
    auto axes = adaptive_axes("adaptive_avg_pool_forward", input, output);
    window_sum({input[0], std::move(axes), input.last()}, input.data, output.data);
}

template <class T>
void adaptive_avg_pool_backward(View<const T> grad_output, View<T> grad_input) {
    auto axes = transposed(adaptive_axes("adaptive_avg_pool_backward", grad_input, grad_output));
    window_sum({grad_input[0], std::move(axes), grad_input.last()}, grad_output.data,
               grad_input.data);
}

#define INSTANTIATE_MAX(T, Index)                                                                 \
    template void max_pool_forward(View<const T>, View<T>, View<Index>, const Dims&, const Dims&, \
                                   const Dims&);                                                  \
    template void max_pool_backward(View<const T>, View<const Index>, View<T>, const Dims&,       \
                                    const Dims&, const Dims&);
#define INSTANTIATE(T)                                                                             \
    INSTANTIATE_MAX(T, std::uint8_t)                                                               \
    INSTANTIATE_MAX(T, std::int32_t)                                                               \
    template void avg_pool_forward(View<const T>, View<T>, const Dims&, const Dims&, const Dims&,  \
                                   bool);                                                          \
    template void avg_pool_backward(View<const T>, View<T>, const Dims&, const Dims&, const Dims&, \
                                    bool);                                                         \
    template void adaptive_avg_pool_forward(View<const T>, View<T>);                               \
    template void adaptive_avg_pool_backward(View<const T>, View<T>);

INSTANTIATE(float)
INSTANTIATE(bf16)

}  // namespace voxelgrad

#include "ops/pool.hpp"

#include <algorithm>
#include <vector>

#include "core/check.hpp"
#include "ops/pool_axes.hpp"
#include "ops/window.hpp"

namespace voxelgrad {
namespace {

using std::int64_t;

WindowAxis table_of(const PoolAxis& pool, bool count_include_pad) {
    WindowAxis table{pool.input, {0}, {}};
    for (int64_t o = 0; o < pool.output; ++o) {
        const int64_t first = pool.first(o), begin = std::max<int64_t>(first, 0);
        const int64_t end = std::min(first + pool.kernel, pool.input);
        const float weight =
            1.0f / static_cast<float>(count_include_pad ? pool.kernel : end - begin);
        for (int64_t i = begin; i < end; ++i) table.add(i, (i - first) * pool.place_step, weight);
        table.finish_target();
    }
    return table;
}

template <class Input, class Output>
std::vector<WindowAxis> pool_tables(const PoolSettings& pool, const View<Input>& input,
                                    const View<Output>& output, bool count_include_pad) {
    std::vector<WindowAxis> tables;
    for (const PoolAxis& axis : pool_axes(pool, input, output))
        tables.push_back(table_of(axis, count_include_pad));
    return tables;
}

template <class T, class Index>
const MaxKernels<T, Index>& max_kernels() {
    if constexpr (sizeof(Index) == 1)
        return window_kernels<T>().max_small;
    else
        return window_kernels<T>().max_large;
}

template <class T, class Index>
void take_maxima(const PoolSettings& pool, bool rectify, const View<const T>& input,
                 const View<T>& output, const View<Index>& indices) {
    check_indices<Index>(pool.op, pool.kernel_size);
    check_same_shape(pool.op, "indices", indices, "output", output);
    const WindowPlan plan(input[0], pool_tables(pool, input, output, true), input.last());
    const auto& kernels = max_kernels<T, Index>();
    plan.for_rows(output.data, [&](WindowRow row, int64_t first) {
        row.rectify = rectify;
        kernels.forward(row, input.data, output.data + first, indices.data + first);
    });
}

}  // namespace

template <class T, class Index>
void max_pool_forward(View<const T> input, View<T> output, View<Index> indices,
                      const Dims& kernel_size, const Dims& stride, const Dims& padding) {
    take_maxima({"max_pool_forward", kernel_size, stride, padding}, false, input, output, indices);
}

template <class T>
void relu_max_pool_forward(View<const T> input, View<T> output, View<std::uint8_t> indices,
                           const Dims& kernel_size, const Dims& stride, const Dims& padding) {
    constexpr const char* op = "relu_max_pool_forward";
    check(window_places(kernel_size) <= no_place, op, ": windows have ", window_places(kernel_size),
          " places; it takes at most ", no_place);
    take_maxima({op, kernel_size, stride, padding}, true, input, output, indices);
}

template <class T, class Index>
void max_pool_backward(View<const T> grad_output, View<const Index> indices, View<T> grad_input,
                       const Dims& kernel_size, const Dims& stride, const Dims& padding) {
    constexpr const char* op = "max_pool_backward";
    check_indices<Index>(op, kernel_size);
    check_same_shape(op, "indices", indices, "grad_output", grad_output);
    auto axes = pool_tables({op, kernel_size, stride, padding}, grad_input, grad_output, true);
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
    auto axes = pool_tables(pool, input, output, count_include_pad);
    window_sum({input[0], std::move(axes), input.last()}, input.data, output.data);
}

template <class T>
void avg_pool_backward(View<const T> grad_output, View<T> grad_input, const Dims& kernel_size,
                       const Dims& stride, const Dims& padding, bool count_include_pad) {
    const PoolSettings pool{"avg_pool_backward", kernel_size, stride, padding};
    auto axes = transposed(pool_tables(pool, grad_input, grad_output, count_include_pad));
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
    template void relu_max_pool_forward(View<const T>, View<T>, View<std::uint8_t>, const Dims&,   \
                                        const Dims&, const Dims&);                                 \
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

#include "ops/matmul.hpp"

#include "core/kept_weight.hpp"
#include "core/parallel_for.hpp"
#include "core/split.hpp"
#include "ops/conv.hpp"
#include "ops/matmul_arguments.hpp"

namespace voxelgrad {
namespace {

constexpr std::int64_t task_size = 1 << 18;  // multiplications

// Calls multiply(left, right, number) for every product: small ones share a task, large ones are
// cut by themselves. Nothing to add up is zero.
template <class T, class Multiply>
void for_products(const StackedProduct& all, const View<T>& result, const Multiply& multiply) {
    if (result.size() == 0) return;
    if (all.inner == 0) {
        std::fill_n(result.data, result.size(), T{});
        return;
    }
    const KeepingWeight none(nullptr);  // a call has many matrices
    const auto run = [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t number = begin; number < end; ++number) {
            const auto [left, right] = all.pair(number);
            multiply(left, right, number);
        }
    };
    const std::int64_t size = all.rows * all.inner * all.columns;
    if (size < task_size)
        parallel_for_ranges(all.count, divide_up(task_size, size), run);
    else
        run(0, all.count);
}

}  // namespace

template <class T>
void matmul_forward(View<const T> a, View<const float> b, View<T> output) {
    const auto all = forward_product("matmul_forward", a, b, output);
    for_products(all, output, [&](std::int64_t left, std::int64_t right, std::int64_t number) {
        linear_backward_data(matrix_at(a, left), matrix_at(b, right), matrix_at(output, number));
    });
}

template <class T>
void matmul_backward_a(View<const T> grad_output, View<const float> b, View<T> grad_a) {
    const auto all = left_gradient_product("matmul_backward_a", grad_output, b, grad_a);
    for_products(all, grad_a, [&](std::int64_t left, std::int64_t right, std::int64_t number) {
        linear_forward(matrix_at(grad_output, left), matrix_at(b, right), {},
                       matrix_at(grad_a, number), 1.0f);
    });
}

template <class T>
void matmul_backward_b(View<const T> grad_output, View<const T> a, View<float> grad_b) {
    const auto all = right_gradient_product("matmul_backward_b", grad_output, a, grad_b);
    for_products(all, grad_b, [&](std::int64_t left, std::int64_t right, std::int64_t number) {
        linear_backward_weight(matrix_at(a, left), matrix_at(grad_output, right),
                               matrix_at(grad_b, number), {});
    });
}

#define VOXELGRAD_INSTANTIATE(T)                                                \
    template void matmul_forward(View<const T>, View<const float>, View<T>);    \
    template void matmul_backward_a(View<const T>, View<const float>, View<T>); \
    template void matmul_backward_b(View<const T>, View<const T>, View<float>);

VOXELGRAD_INSTANTIATE(float)
VOXELGRAD_INSTANTIATE(bf16)

}  // namespace voxelgrad

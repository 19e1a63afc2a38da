// Products of stacks of matrices; semantics as in cpp/ops/matmul.hpp. All products of a stack are
// one launch.
#pragma once

#include "cuda/ops/conv.cuh"
#include "ops/matmul_arguments.hpp"

namespace voxelgrad::cuda {

// A pass for gemm.cuh, mma.cuh and wgmma.cuh: C (rows, columns) = A B for every pair of a stack. An
// operand lies as (lanes, steps) if along_steps, else as (steps, lanes); its lanes are rows or
// columns of C.
template <class A, class B, class C, bool a_along_steps_, bool b_along_steps_>
struct StackPass {
    static constexpr bool a_along_steps = a_along_steps_, b_along_steps = b_along_steps_;
    static constexpr int stored = full_width<C>;  // columns that are stored as one

    StackedProduct all;
    const A* left;
    const B* right;
    C* result;

    struct Part {
        std::int64_t left, right, result;
    };
    using Row = std::int64_t;
    using Step = std::int64_t;
    using Column = std::int64_t;

    std::int64_t parts() const { return all.count; }
    std::int64_t most_rows() const { return all.rows; }
    int columns() const { return static_cast<int>(all.columns); }

    // Whether what lies one after the other, of operands and result, comes in runs of `width`.
    bool comes_in(int width) const {
        return (a_along_steps ? all.inner : all.rows) % width == 0 &&
               (b_along_steps ? all.inner : all.columns) % width == 0 && all.columns % width == 0;
    }

    __device__ void enter(std::int64_t number, Part& part) const {
        if (threadIdx.x == 0) {
            const auto [first, second] = all.pair(number);
            part = {first * all.rows * all.inner, second * all.inner * all.columns,
                    number * all.rows * all.columns};
        }
        __syncthreads();
    }
    __device__ std::int64_t first_step(const Part&) const { return 0; }
    __device__ std::int64_t end_step(const Part&) const { return all.inner; }

    __device__ Row row(const Part& part, std::int64_t i) const {
        return i < all.rows ? part.left + i * (a_along_steps ? all.inner : 1) : -1;
    }
    __device__ Step step(const Part&, std::int64_t number) const {
        return number < all.inner ? number : -1;
    }
    __device__ Column column(const Part& part, int j) const {
        return j < all.columns ? part.right + j * (b_along_steps ? all.inner : 1) : -1;
    }
    __device__ const A* a(const Row& row, const Step& step) const {
        return row < 0 || step < 0 ? nullptr : left + row + step * (a_along_steps ? 1 : all.rows);
    }
    __device__ const B* b(const Step& step, const Column& column) const {
        return column < 0 || step < 0 ? nullptr
                                      : right + column + step * (b_along_steps ? 1 : all.columns);
    }

    __device__ C* target_of(const Part& part, std::int64_t i) const {
        return i < all.rows ? result + part.result + i * all.columns : nullptr;
    }
    template <int width, int count>
    __device__ void store(const Part&, C* row, int j, const float (&values)[count]) const {
        if (!row) return;
        VOXELGRAD_UNROLL
        for (int c = 0; c < count; c += width) {
            if (j + c >= all.columns) continue;
            Pack<C, width> pack;
            VOXELGRAD_UNROLL
            for (int w = 0; w < width; ++w) pack.value[w] = rounded_to<C>(values[c + w]);
            *reinterpret_cast<Pack<C, width>*>(row + j + c) = pack;
        }
    }
    template <int width, int count>
    __device__ void store(const Part& part, std::int64_t i, int j,
                          const float (&values)[count]) const {
        store<width>(part, target_of(part, i), j, values);
    }
};

template <class A, class B, class C, bool a_along_steps, bool b_along_steps>
void multiply_stacks(const char* op, Stream stream,
                     const StackPass<A, B, C, a_along_steps, b_along_steps>& pass) {
    check(pass.all.columns < INT_MAX, op, ": ", pass.all.columns,
          " columns are too many; CUDA kernels take up to ", INT_MAX);
    const bool aligned = all_aligned(pass.left, pass.right, pass.result);
    if constexpr (std::is_same_v<A, bf16> && std::is_same_v<B, bf16>)
        if (pass.comes_in(8) && aligned)
            return uses_wgmma(op) ? gathered_wgmma(op, stream, pass) : mma<bf16>(op, stream, pass);
    const bool whole = pass.comes_in(4) && aligned;
    if constexpr (std::is_same_v<A, float> && std::is_same_v<B, float>)
        if (tf32_allowed && whole) return mma<float>(op, stream, pass);
    gemm(op, stream, pass, whole);
}

// The right operand is rounded where that lets tensor cores multiply it.
template <bool b_along_steps, class T>
void multiply_by_weights(const char* op, Stream stream, const StackedProduct& all, const T* left,
                         const View<const float>& right, T* result) {
    const StackPass<T, float, T, true, b_along_steps> pass{all, left, right.data, result};
    if constexpr (std::is_same_v<T, bf16>)
        if (pass.comes_in(8)) {
            const Workspace<bf16> rounded(right.size());
            map(op, stream, Scaled{1.0f}, right.size(), rounded.data(), right.data);
            return multiply_stacks(
                op, stream,
                StackPass<T, bf16, T, true, b_along_steps>{all, left, rounded.data(), result});
        }
    multiply_stacks(op, stream, pass);
}

// Writes zeros if there is nothing to add up; whether that is all.
template <class T>
bool is_empty_product(Stream stream, const StackedProduct& all, const View<T>& result) {
    if (all.inner == 0) fill(stream, result, 0.0);
    return all.inner == 0 || result.size() == 0;
}

// A single product is a linear layer's: those cut long sums into pieces.
template <class T>
void matmul_forward(Stream stream, View<const T> a, View<const float> b, View<T> output) {
    const char* const op = "matmul_forward";
    const StackedProduct all = forward_product(op, a, b, output);
    if (is_empty_product(stream, all, output)) return;
    if (all.count == 1)
        return linear_backward_data(stream, matrix_at(a, 0), matrix_at(b, 0), matrix_at(output, 0));
    multiply_by_weights<false>(op, stream, all, a.data, b, output.data);
}

template <class T>
void matmul_backward_a(Stream stream, View<const T> grad_output, View<const float> b,
                       View<T> grad_a) {
    const char* const op = "matmul_backward_a";
    const StackedProduct all = left_gradient_product(op, grad_output, b, grad_a);
    if (is_empty_product(stream, all, grad_a)) return;
    if (all.count == 1)
        return linear_forward(stream, matrix_at(grad_output, 0), matrix_at(b, 0), {},
                              matrix_at(grad_a, 0), 1.0f);
    multiply_by_weights<true>(op, stream, all, grad_output.data, b, grad_a.data);
}

template <class T>
void matmul_backward_b(Stream stream, View<const T> grad_output, View<const T> a,
                       View<float> grad_b) {
    const char* const op = "matmul_backward_b";
    const StackedProduct all = right_gradient_product(op, grad_output, a, grad_b);
    if (is_empty_product(stream, all, grad_b)) return;
    if (all.count == 1)
        return linear_backward_weight(stream, matrix_at(a, 0), matrix_at(grad_output, 0),
                                      matrix_at(grad_b, 0), {});
    multiply_stacks(
        op, stream,
        StackPass<T, T, float, false, false>{all, a.data, grad_output.data, grad_b.data});
}

}  // namespace voxelgrad::cuda

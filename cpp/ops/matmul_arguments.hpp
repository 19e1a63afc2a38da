// What the functions of matmul.hpp check of their arguments, on the CPU and on devices.
#pragma once

#include "ops/broadcast.hpp"

namespace voxelgrad {

// The products of two stacks of matrices, (rows, inner) times (inner, columns) each.
struct StackedProduct {
    std::int64_t rows, inner, columns, count;
    Broadcast<char> stack;  // extents; strides in matrices

    struct Pair {
        std::int64_t left, right;  // numbers of the matrices
    };
    constexpr Pair pair(std::int64_t number) const {
        Pair result{};
        for (int axis = stack.rank - 1; axis >= 0; --axis) {
            const std::int64_t next = number / stack.extent[axis];
            const std::int64_t place = number - next * stack.extent[axis];
            result.left += place * stack.a.stride[axis];
            result.right += place * stack.b.stride[axis];
            number = next;
        }
        return result;
    }
};

// The leading axes; nothing looks at data.
template <class Element, class T>
View<Element> stack_of(const View<T>& matrices) {
    View<Element> stack;
    stack.rank = matrices.rank - 2;
    std::copy_n(matrices.shape, stack.rank, stack.shape);
    return stack;
}

template <class T>
bool holds_matrices(const View<T>& view, std::int64_t rows, std::int64_t columns) {
    return view.rank >= 2 && view[view.rank - 2] == rows && view.last() == columns;
}

// a (..., M, K) times b (..., K, N) is output (..., M, N), the leading axes broadcast.
template <class A, class B, class T>
StackedProduct forward_product(const char* op, const View<A>& a, const View<B>& b,
                               const View<T>& output) {
    const bool have_axes = a.rank >= 2 && b.rank >= 2 && output.rank >= 2;
    const std::int64_t rows = have_axes ? a[a.rank - 2] : 0, inner = have_axes ? a.last() : 0;
    const std::int64_t columns = have_axes ? b.last() : 0;
    check(have_axes && holds_matrices(b, inner, columns) && holds_matrices(output, rows, columns),
          op, ": a ", a, ", b ", b, " and output ", output,
          " must be (..., M, K), (..., K, N) and (..., M, N)");
    const auto left = stack_of<const char>(a), right = stack_of<const char>(b);
    const auto all = stack_of<char>(output);
    check(broadcasts(left, right, all), op, ": the leading axes of a ", a, " and b ", b,
          " do not broadcast to those of output ", output);
    return {rows, inner, columns, all.size(), collapse(left, right, all)};
}

// grad_output (..., M, N) times the turned b (..., K, N) is grad_a (..., M, K), which has the
// leading axes of grad_output.
template <class T, class B>
StackedProduct left_gradient_product(const char* op, const View<const T>& grad_output,
                                     const View<B>& b, const View<T>& grad_a) {
    check(grad_a.rank == grad_output.rank, op, ": grad_a ", grad_a, " and grad_output ",
          grad_output, " must have the same number of axes");
    const StackedProduct forward = forward_product(op, grad_a, b, grad_output);
    const auto all = stack_of<char>(grad_a);
    check(same_shape(all, stack_of<char>(grad_output)), op, ": grad_a ", grad_a,
          " must have the leading axes of grad_output ", grad_output);
    return {forward.rows, forward.columns, forward.inner, forward.count, forward.stack};
}

// The turned a (..., M, K) times grad_output (..., M, N) is grad_b (..., K, N), which has the
// leading axes of grad_output.
template <class T, class G>
StackedProduct right_gradient_product(const char* op, const View<const T>& grad_output,
                                      const View<const T>& a, const View<G>& grad_b) {
    check(grad_b.rank == grad_output.rank, op, ": grad_b ", grad_b, " and grad_output ",
          grad_output, " must have the same number of axes");
    const StackedProduct forward = forward_product(op, a, grad_b, grad_output);
    const auto all = stack_of<char>(grad_b);
    check(same_shape(all, stack_of<char>(grad_output)), op, ": grad_b ", grad_b,
          " must have the leading axes of grad_output ", grad_output);
    return {forward.inner, forward.rows, forward.columns, forward.count, forward.stack};
}

// Matrix number `number` of a stack.
template <class T>
View<T> matrix_at(const View<T>& stack, std::int64_t number) {
    View<T> matrix;
    matrix.rank = 2;
    std::copy_n(stack.shape + stack.rank - 2, 2, matrix.shape);
    matrix.data = stack.data + number * matrix.size();
    return matrix;
}

}  // namespace voxelgrad

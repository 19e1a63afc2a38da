// Two operands under numpy's broadcasting rules: which shapes fit, and on which axes to go.
#pragma once

#include <algorithm>

#include "core/check.hpp"

namespace voxelgrad {

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

// The extent of `view` along an axis of an array with `rank` axes, to whose end it is aligned.
template <class T>
std::int64_t extent_at(const View<const T>& view, int axis, int rank) {
    const int own_axis = axis - (rank - view.rank);
    return own_axis < 0 ? 1 : view[own_axis];
}

template <class T>
bool broadcasts(const View<const T>& a, const View<const T>& b, const View<T>& output) {
    bool fits = std::max(a.rank, b.rank) == output.rank;
    for (int axis = 0; fits && axis < output.rank; ++axis) {
        const std::int64_t in_a = extent_at(a, axis, output.rank);
        const std::int64_t in_b = extent_at(b, axis, output.rank);
        fits =
            (in_a == in_b || in_a == 1 || in_b == 1) && output[axis] == (in_a == 1 ? in_b : in_a);
    }
    return fits;
}

template <class T>
void check_broadcast(const View<const T>& a, const View<const T>& b, const View<T>& output) {
    check(broadcasts(a, b, output), "binary_forward: a ", a, " and b ", b,
          " do not broadcast to output ", output);
}

template <class T>
void check_expands(const View<const T>& input, const View<T>& output) {
    bool fits = input.rank == output.rank;
    for (int axis = 0; fits && axis < output.rank; ++axis)
        fits = input[axis] == output[axis] || input[axis] == 1;
    check(fits, "broadcast_to: input ", input, " does not expand to output ", output);
}

}  // namespace voxelgrad

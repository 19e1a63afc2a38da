// What the functions of conv.hpp check of their arguments, on the CPU and on devices.
#pragma once

#include <algorithm>

#include "core/check.hpp"
#include "ops/conv_geometry.hpp"

namespace voxelgrad {

// A view of the same shape for conv_geometry, which looks at nothing else.
template <class T>
View<const float> shape_of(const View<T>& view) {
    View<const float> result;
    result.rank = view.rank;
    for (int axis = 0; axis < view.rank; ++axis) result.shape[axis] = view.shape[axis];
    return result;
}

template <class T>
const float* bias_data(const char* op, const OptionalView<const float>& bias,
                       const View<T>& output) {
    if (!bias) return nullptr;
    check(bias.rank == 1 && bias[0] == output.last(), op, ": bias ", bias, " must be (",
          output.last(), ",)");
    return bias.data;
}

// The gradient of a bias as what summing the gradient of the output over all pixels gives:
// (1, ..., 1, channels).
template <class T>
View<float> bias_sums(const char* op, const View<const T>& grad_output,
                      const OptionalView<float>& grad_bias) {
    check(grad_bias.rank == 1 && grad_bias[0] == grad_output.last(), op, ": grad_bias ", grad_bias,
          " must be (", grad_output.last(), ",)");
    View<float> sums = grad_bias;
    sums.rank = grad_output.rank;
    std::fill_n(sums.shape, sums.rank - 1, 1);
    sums.shape[sums.rank - 1] = grad_bias[0];
    return sums;
}

// A matrix product is a convolution of a row of M pixels with a kernel of one tap.
inline View<const float> as_row(const View<const float>& matrix, bool weight = false) {
    View<const float> row = matrix;
    row.rank = 3;
    row.shape[0] = weight ? matrix[0] : 1;
    row.shape[1] = weight ? 1 : matrix[0];
    row.shape[2] = matrix[1];
    return row;
}

inline ConvGeometry linear_geometry(const char* op, const View<const float>& input,
                                    const View<const float>& weight,
                                    const View<const float>& output) {
    check(input.rank == 2 && weight.rank == 2 && output.rank == 2 && input[1] == weight[1] &&
              output[0] == input[0] && output[1] == weight[0],
          op, ": input ", input, ", weight ", weight, " and output ", output,
          " must be (M, K), (N, K) and (M, N)");
    const Dims one{1, {1}}, zero{1, {0}};
    return conv_geometry(op, false, as_row(input), as_row(output), as_row(weight, true), one, zero,
                         one, 1);
}

}  // namespace voxelgrad

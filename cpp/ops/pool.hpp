// Pooling of images (N, *spatial, C), 1 to 3 spatial axes: maximum, average, adaptive average.
// float or bf16.
#pragma once

#include <cstdint>

#include "core/view.hpp"

namespace voxelgrad {

// indices: where in its window (row-major) the maximum was; the first NaN wins, else the first
// maximum; padding never wins. Index is uint8 for windows of at most 256 places, else int32.
template <class T, class Index>
void max_pool_forward(View<const T> input, View<T> output, View<Index> indices,
                      const Dims& kernel_size, const Dims& stride, const Dims& padding);

// max_pool_forward of max(input, 0), for windows of fewer than 256 places. A maximum that is not
// positive gets the index 255: no place, so that max_pool_backward gives the gradient of both.
template <class T>
void relu_max_pool_forward(View<const T> input, View<T> output, View<std::uint8_t> indices,
                           const Dims& kernel_size, const Dims& stride, const Dims& padding);

template <class T, class Index>
void max_pool_backward(View<const T> grad_output, View<const Index> indices, View<T> grad_input,
                       const Dims& kernel_size, const Dims& stride, const Dims& padding);

// count_include_pad: the padding's zeros count in the mean.
template <class T>
void avg_pool_forward(View<const T> input, View<T> output, const Dims& kernel_size,
                      const Dims& stride, const Dims& padding, bool count_include_pad);
template <class T>
void avg_pool_backward(View<const T> grad_output, View<T> grad_input, const Dims& kernel_size,
                       const Dims& stride, const Dims& padding, bool count_include_pad);

// Window i of n along an axis of length m: positions floor(i * m / n) to ceil((i + 1) * m / n).
template <class T>
void adaptive_avg_pool_forward(View<const T> input, View<T> output);
template <class T>
void adaptive_avg_pool_backward(View<const T> grad_output, View<T> grad_input);

}  // namespace voxelgrad

// Pooling of images (N, *spatial, C), 1 to 3 spatial axes: maximum, average, adaptive average.
#pragma once

#include <cstdint>

#include "core/view.hpp"

namespace voxelgrad {

// indices: where in its window (row-major) the maximum was; the first NaN wins, else the first
// maximum; padding never wins. Index is uint8 for windows of at most 256 places, else int32.
template <class Index>
void max_pool_forward(View<const float> input, View<float> output, View<Index> indices,
                      const Dims& kernel_size, const Dims& stride, const Dims& padding);

template <class Index>
void max_pool_backward(View<const float> grad_output, View<const Index> indices,
                       View<float> grad_input, const Dims& kernel_size, const Dims& stride,
                       const Dims& padding);

// count_include_pad: the padding's zeros count in the mean.
void avg_pool_forward(View<const float> input, View<float> output, const Dims& kernel_size,
                      const Dims& stride, const Dims& padding, bool count_include_pad);
void avg_pool_backward(View<const float> grad_output, View<float> grad_input,
                       const Dims& kernel_size, const Dims& stride, const Dims& padding,
                       bool count_include_pad);

// Window i of n along an axis of length m: positions floor(i * m / n) to ceil((i + 1) * m / n).
void adaptive_avg_pool_forward(View<const float> input, View<float> output);
void adaptive_avg_pool_backward(View<const float> grad_output, View<float> grad_input);

}  // namespace voxelgrad

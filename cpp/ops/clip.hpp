// Values cut to [low, high], element by element; NaN stays NaN. The output may be the input.
#pragma once

#include "core/bf16.hpp"
#include "core/view.hpp"

namespace voxelgrad {

template <class T>
void clip_forward(View<const T> input, View<T> output, float low, float high);
// grad_output where low < input < high, else 0.
template <class T>
void clip_backward(View<const T> grad_output, View<const T> input, View<T> grad_input, float low,
                   float high);

}  // namespace voxelgrad

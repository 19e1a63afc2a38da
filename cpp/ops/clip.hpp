// Values cut to [low, high], element by element; NaN stays NaN. The output may be the input.
#pragma once

#include "core/view.hpp"

namespace voxelgrad {

void clip_forward(View<const float> input, View<float> output, float low, float high);
// grad_output where low < input < high, else 0.
void clip_backward(View<const float> grad_output, View<const float> input, View<float> grad_input,
                   float low, float high);

}  // namespace voxelgrad

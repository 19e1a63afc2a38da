// Softmax and its logarithm over the last axis. Any shape; outputs may be inputs of the same shape.
#pragma once

#include "core/view.hpp"

namespace voxelgrad {

void softmax_forward(View<const float> input, View<float> output, bool log);
void softmax_backward(View<const float> grad_output, View<const float> output,
                      View<float> grad_input, bool log);

}  // namespace voxelgrad

// Pointwise functions by name: relu, leaky_relu, elu, sigmoid, tanh, softplus, exp, log, sqrt, abs,
// square. Any shape; output may be the input, grad_input may be grad_output.
#pragma once

#include <string>

#include "core/view.hpp"

namespace voxelgrad {

void activation_forward(const std::string& kind, View<const float> input, View<float> output,
                        float alpha);
// `saved` is the output for relu, elu, sigmoid, tanh, exp, sqrt and the input for the others.
void activation_backward(const std::string& kind, View<const float> grad_output,
                         View<const float> saved, View<float> grad_input, float alpha);

}  // namespace voxelgrad

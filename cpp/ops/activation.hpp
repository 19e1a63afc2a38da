// Pointwise functions by name: relu, leaky_relu, elu, sigmoid, tanh, softplus, exp, log, sqrt, abs,
// square. Any shape, float or bf16; output may be the input, grad_input may be grad_output.
#pragma once

#include <string>

#include "core/view.hpp"

namespace voxelgrad {

template <class T>
void activation_forward(const std::string& kind, View<const T> input, View<T> output, float alpha);
// `saved` is the output for relu, elu, sigmoid, tanh, exp, sqrt and the input for the others.
template <class T>
void activation_backward(const std::string& kind, View<const T> grad_output, View<const T> saved,
                         View<T> grad_input, float alpha);

}  // namespace voxelgrad

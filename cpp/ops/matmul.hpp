// Products of stacks of matrices, whose leading axes broadcast as numpy's do; a sum over nothing is
// zero. `b` and its gradient are float beside images of any type, as weights are. Each element is
// summed in an order that the sizes of one product decide.
#pragma once

#include "core/bf16.hpp"
#include "core/view.hpp"

namespace voxelgrad {

// a (..., M, K), b (..., K, N), output (..., M, N).
template <class T>
void matmul_forward(View<const T> a, View<const float> b, View<T> output);

// Gradients have the leading axes of grad_output: those of a broadcast operand are not summed.
template <class T>
void matmul_backward_a(View<const T> grad_output, View<const float> b, View<T> grad_a);
template <class T>
void matmul_backward_b(View<const T> grad_output, View<const T> a, View<float> grad_b);

}  // namespace voxelgrad

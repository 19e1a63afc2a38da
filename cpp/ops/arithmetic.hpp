// Arithmetic of two arrays under numpy's broadcasting, and the spreading of one. float or bf16.
#pragma once

#include <string>

#include "core/view.hpp"

namespace voxelgrad {

// output = a kind b; kind is add, sub, mul, div, maximum or minimum (in those NaN wins). Output has
// the broadcast shape and may be an operand of that shape.
template <class T>
void binary_forward(const std::string& kind, View<const T> a, View<const T> b, View<T> output);
// output = scale * input, the axes of extent 1 expanded to those of output (as many axes).
template <class T>
void broadcast_to(View<const T> input, View<T> output, double scale);
// output = value.
template <class T>
void fill(View<T> output, double value);

}  // namespace voxelgrad

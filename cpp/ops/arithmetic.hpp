// Arithmetic of two arrays under numpy's broadcasting, and the spreading of one.
#pragma once

#include <string>

#include "core/view.hpp"

namespace voxelgrad {

// output = a kind b; kind is add, sub, mul, div, maximum or minimum (in those NaN wins). Output has
// the broadcast shape and may be an operand of that shape.
void binary_forward(const std::string& kind, View<const float> a, View<const float> b,
                    View<float> output);
// output = scale * input, the axes of extent 1 expanded to those of output (as many axes).
void broadcast_to(View<const float> input, View<float> output, double scale);
// output = value, float or bf16.
template <class T>
void fill(View<T> output, double value);

}  // namespace voxelgrad

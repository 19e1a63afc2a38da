// Moving values without computing: transpose, concat, split, slice, pad. float or bf16; outputs
// must not overlap inputs.
#pragma once

#include <string>
#include <vector>

#include "core/view.hpp"

namespace voxelgrad {

// output axis i is input axis axes[i].
template <class T>
void transpose(View<const T> input, View<T> output, const Dims& axes);

// The arrays one after the other along `axis`.
template <class T>
void concat(const std::vector<View<const T>>& inputs, View<T> output, int axis);

// The parts of input one after the other along `axis`.
template <class T>
void split(View<const T> input, const std::vector<View<T>>& outputs, int axis);

// The part of input that begins at `start` and has output's extents.
template <class T>
void slice_forward(View<const T> input, View<T> output, const Dims& start);

// input at offset `before` in output; around it a constant, its reflection (the edge is not
// repeated) or its edge. mode: constant, reflect, edge.
template <class T>
void pad_forward(View<const T> input, View<T> output, const Dims& before, const std::string& mode,
                 float value);

// Adds the gradient of every element of the padded array to the element that it was copied from.
template <class T>
void pad_backward(View<const T> grad_output, View<T> grad_input, const Dims& before,
                  const std::string& mode);

}  // namespace voxelgrad

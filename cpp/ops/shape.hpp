// Moving values without computing: transpose, concat, slice, pad. float32; output must not overlap
// an input.
#pragma once

#include <string>
#include <vector>

#include "core/view.hpp"

namespace voxelgrad {

// output axis i is input axis axes[i].
void transpose(View<const float> input, View<float> output, const Dims& axes);

// The arrays one after the other along `axis`.
void concat(const std::vector<View<const float>>& inputs, View<float> output, int axis);

// The part of input that begins at `start` and has output's extents.
void slice_forward(View<const float> input, View<float> output, const Dims& start);

// input at offset `before` in output; around it a constant, its reflection (the edge is not
// repeated) or its edge. mode: constant, reflect, edge.
void pad_forward(View<const float> input, View<float> output, const Dims& before,
                 const std::string& mode, float value);

// Adds the gradient of every element of the padded array to the element that it was copied from.
void pad_backward(View<const float> grad_output, View<float> grad_input, const Dims& before,
                  const std::string& mode);

}  // namespace voxelgrad

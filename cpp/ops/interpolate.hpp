// Resizing images (N, *spatial, C), 1 to 3 spatial axes.
//
// mode nearest: output position i shows input position floor(i * in / out). mode linear: it weighs
// the two neighbours of (i + 1/2) * in / out - 1/2, or of i * (in - 1) / (out - 1) with
// align_corners. The backward pass gathers, with the same weights. float or bf16.
#pragma once

#include <string>

#include "core/view.hpp"

namespace voxelgrad {

template <class T>
void interpolate_forward(View<const T> input, View<T> output, const std::string& mode,
                         bool align_corners);
template <class T>
void interpolate_backward(View<const T> grad_output, View<T> grad_input, const std::string& mode,
                          bool align_corners);

}  // namespace voxelgrad

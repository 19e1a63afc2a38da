// A sparse linear map along each spatial axis of images (N, *spatial, C), 1 to 3 spatial axes.
//
// For every axis: target position i is the sum over t in [starts[i], starts[i + 1]) of weights[t]
// times source position positions[t]. The backward pass is the same with the transposed tables.
#pragma once

#include <cstdint>
#include <vector>

#include "core/bf16.hpp"
#include "core/view.hpp"

namespace voxelgrad {

template <class T>
void resample(View<const T> input, View<T> output,
              const std::vector<View<const std::int32_t>>& starts,
              const std::vector<View<const std::int32_t>>& positions,
              const std::vector<View<const float>>& weights);

}  // namespace voxelgrad

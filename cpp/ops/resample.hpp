// A sparse linear map along each spatial axis of images (N, *spatial, C), 1 to 3 spatial axes.
//
// For every axis: target position i is the sum over t in [starts[i], starts[i + 1]) of weights[t]
// times source position positions[t]. The backward pass is the same with the transposed tables.
#pragma once

#include <cstdint>
#include <vector>

#include "core/view.hpp"

namespace voxelgrad {

void resample(View<const float> input, View<float> output,
              const std::vector<View<const std::int32_t>>& starts,
              const std::vector<View<const std::int32_t>>& positions,
              const std::vector<View<const float>>& weights);

}  // namespace voxelgrad

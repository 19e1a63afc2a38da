// A convolution and the norm of its output in one: the norm's statistics are summed chunk by chunk,
// out of the cache, by whoever has just written the chunk. Training needs both outputs; so both are
// written. The bits are those of the two ops one after the other.
#pragma once

#include <string>
#include <vector>

#include "core/bf16.hpp"
#include "core/view.hpp"

namespace voxelgrad {

// inputs to slope: as conv_joined_forward; with one input as conv_forward. norm: "batch" or
// "group"; what follows are the arguments of batch_norm_forward and group_norm_forward, whose input
// is conv_output.
template <class T>
void conv_norm_forward(const std::vector<View<const T>>& inputs, View<const float> weight,
                       OptionalView<const float> bias, View<T> conv_output, Dims stride,
                       Dims padding, Dims dilation, std::int64_t groups, float slope,
                       const std::string& norm, OptionalView<const float> norm_weight,
                       OptionalView<const float> norm_bias, View<T> output, View<float> mean,
                       View<float> invstd, double eps, const std::string& activation, float alpha);

}  // namespace voxelgrad

// The backward pass of a max-pool and the weight gradient of the convolution before it in one, for
// windows that do not overlap: the gradient between the two is never written.
#pragma once

#include <cstdint>

#include "core/view.hpp"

namespace voxelgrad {

// Whether a convolution of stride 1 and its max-pool, of this window, gain by it: there are four
// places or more in a window, and rows of some windows. The bits are those of max_pool_backward and
// conv_backward_weight.
bool conv_reads_pooled(View<const float> input, View<const float> weight, Dims padding,
                       Dims pool_size);

// grad_output and indices: of the pool. input (N, H, W, C), weight (out_channels, kernel height,
// kernel width, C).
void conv_pooled_backward_weight(View<const float> grad_output, View<const std::uint8_t> indices,
                                 View<const float> input, View<float> grad_weight,
                                 OptionalView<float> grad_bias, Dims padding, Dims pool_size);
}  // namespace voxelgrad

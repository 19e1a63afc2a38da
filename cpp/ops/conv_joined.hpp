// Convolution of images that are joined along the channels, without the joined image where the
// algorithm can read and write the parts (see ConvAlgorithmFor); otherwise it is made in a
// workspace. Results are those of conv.hpp on the joined image, bit for bit.
//
// inputs (N, *spatial, C_i), weight (out_channels, *kernel, sum of C_i / groups). The rest as in
// conv.hpp.
#pragma once

#include <vector>

#include "core/bf16.hpp"
#include "core/view.hpp"

namespace voxelgrad {

class WrittenChunks;

template <class T>
void conv_joined_forward(const std::vector<View<const T>>& inputs, View<const float> weight,
                         OptionalView<const float> bias, View<T> output, Dims stride, Dims padding,
                         Dims dilation, std::int64_t groups, float slope);
// The same as part of another op, whose name errors begin with. `written` (null: nobody) hears of
// the output as it is written.
template <class T>
void write_conv_joined(const char* op, const std::vector<View<const T>>& inputs,
                       View<const float> weight, OptionalView<const float> bias, View<T> output,
                       Dims stride, Dims padding, Dims dilation, std::int64_t groups, float slope,
                       WrittenChunks* written);
template <class T>
void conv_joined_backward_data(View<const T> grad_output, View<const float> weight,
                               const std::vector<View<T>>& grad_inputs, Dims stride, Dims padding,
                               Dims dilation, std::int64_t groups);
template <class T>
void conv_joined_backward_weight(View<const T> grad_output,
                                 const std::vector<View<const T>>& inputs, View<float> grad_weight,
                                 OptionalView<float> grad_bias, Dims stride, Dims padding,
                                 Dims dilation, std::int64_t groups);

}  // namespace voxelgrad

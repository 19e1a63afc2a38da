// Convolution and transposed convolution, ranks 1 to 3, with stride, padding, dilation and groups.
// input (N, *spatial, C), weight (out_channels, *kernel, in_channels / groups), bias
// (out_channels).
#pragma once

#include <string>

#include "core/view.hpp"

namespace voxelgrad {

void conv_forward(View<const float> input, View<const float> weight, OptionalView<const float> bias,
                  View<float> output, Dims stride, Dims padding, Dims dilation,
                  std::int64_t groups);
void conv_backward_data(View<const float> grad_output, View<const float> weight,
                        View<float> grad_input, Dims stride, Dims padding, Dims dilation,
                        std::int64_t groups);
void conv_backward_weight(View<const float> grad_output, View<const float> input,
                          View<float> grad_weight, OptionalView<float> grad_bias, Dims stride,
                          Dims padding, Dims dilation, std::int64_t groups);

void conv_transpose_forward(View<const float> input, View<const float> weight,
                            OptionalView<const float> bias, View<float> output, Dims stride,
                            Dims padding, Dims dilation, std::int64_t groups);
void conv_transpose_backward_data(View<const float> grad_output, View<const float> weight,
                                  View<float> grad_input, Dims stride, Dims padding, Dims dilation,
                                  std::int64_t groups);
void conv_transpose_backward_weight(View<const float> grad_output, View<const float> input,
                                    View<float> grad_weight, OptionalView<float> grad_bias,
                                    Dims stride, Dims padding, Dims dilation, std::int64_t groups);

// input (M, K), weight (N, K), output (M, N).
void linear_forward(View<const float> input, View<const float> weight,
                    OptionalView<const float> bias, View<float> output);
void linear_backward_data(View<const float> grad_output, View<const float> weight,
                          View<float> grad_input);
void linear_backward_weight(View<const float> grad_output, View<const float> input,
                            View<float> grad_weight, OptionalView<float> grad_bias);

// For tests and benchmarks: run this algorithm wherever convolution is asked for; "" ends that.
void set_conv_algorithm(const std::string& name);

}  // namespace voxelgrad

// Convolution and transposed convolution, ranks 1 to 3, with stride, padding, dilation and groups.
// input (N, *spatial, C), weight (out_channels, *kernel, in_channels / groups), bias
// (out_channels). Images are of type T, float or bf16.
//
// Forward passes end with an activation: negative results are multiplied by `slope` (1: none, 0:
// ReLU) before they are rounded to T.
#pragma once

#include <string>

#include "core/bf16.hpp"
#include "core/view.hpp"

namespace voxelgrad {

template <class T>
void conv_forward(View<const T> input, View<const float> weight, OptionalView<const float> bias,
                  View<T> output, Dims stride, Dims padding, Dims dilation, std::int64_t groups,
                  float slope);
template <class T>
void conv_backward_data(View<const T> grad_output, View<const float> weight, View<T> grad_input,
                        Dims stride, Dims padding, Dims dilation, std::int64_t groups);
template <class T>
void conv_backward_weight(View<const T> grad_output, View<const T> input, View<float> grad_weight,
                          OptionalView<float> grad_bias, Dims stride, Dims padding, Dims dilation,
                          std::int64_t groups);

template <class T>
void conv_transpose_forward(View<const T> input, View<const float> weight,
                            OptionalView<const float> bias, View<T> output, Dims stride,
                            Dims padding, Dims dilation, std::int64_t groups, float slope);
template <class T>
void conv_transpose_backward_data(View<const T> grad_output, View<const float> weight,
                                  View<T> grad_input, Dims stride, Dims padding, Dims dilation,
                                  std::int64_t groups);
template <class T>
void conv_transpose_backward_weight(View<const T> grad_output, View<const T> input,
                                    View<float> grad_weight, OptionalView<float> grad_bias,
                                    Dims stride, Dims padding, Dims dilation, std::int64_t groups);

// input (M, K), weight (N, K), output (M, N).
template <class T>
void linear_forward(View<const T> input, View<const float> weight, OptionalView<const float> bias,
                    View<T> output, float slope);
template <class T>
void linear_backward_data(View<const T> grad_output, View<const float> weight, View<T> grad_input);
template <class T>
void linear_backward_weight(View<const T> grad_output, View<const T> input, View<float> grad_weight,
                            OptionalView<float> grad_bias);

// For tests and benchmarks: run this algorithm wherever convolution is asked for; "" ends that.
void set_conv_algorithm(const std::string& name);

}  // namespace voxelgrad

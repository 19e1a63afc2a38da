// Batch and group normalisation of (N, *spatial, C), and an activation after it in the same pass.
// Instance norm is group norm with G = C; layer norm is group norm of (rows, columns) with G = 1.
//
// T, the type of images and their gradients, is float or bf16. Statistics and the sums of the
// backward pass are accumulated in float over a few rows, then in double, in chunks that depend on
// the shape alone; chunks are added in order. weight and bias are (C,); those that are None count
// as 1 and 0. activation is identity, relu or leaky_relu with slope alpha; the backward pass
// computes again what went into it. output may be input, grad_input may be grad_output.
#pragma once

#include <string>

#include "core/bf16.hpp"
#include "core/view.hpp"

namespace voxelgrad {

// Writes mean and invstd = 1 / sqrt(biased variance + eps), both (C,), and the result.
template <class T>
void batch_norm_forward(View<const T> input, OptionalView<const float> weight,
                        OptionalView<const float> bias, View<T> output, View<float> mean,
                        View<float> invstd, double eps, const std::string& activation, float alpha);

// Moves running statistics, float or double, towards those that batch_norm_forward wrote for
// `count` values a channel: running = (1 - momentum) * running + momentum * batch, with the
// unbiased variance.
template <class Statistic>
void batch_norm_update(View<const float> mean, View<const float> invstd,
                       View<Statistic> running_mean, View<Statistic> running_var,
                       std::int64_t count, double momentum, double eps);

// What batch_norm_apply takes, from running statistics: mean, and invstd = 1 / sqrt(var + eps).
template <class Statistic>
void batch_norm_statistics(View<const Statistic> running_mean, View<const Statistic> running_var,
                           View<float> mean, View<float> invstd, double eps);

// The result alone, from given statistics: the same bits as in batch_norm_forward.
template <class T>
void batch_norm_apply(View<const T> input, OptionalView<const float> weight,
                      OptionalView<const float> bias, View<const float> mean,
                      View<const float> invstd, View<T> output, const std::string& activation,
                      float alpha);

// The weight (out_channels, ...) and bias of a layer that does by itself what it does before a
// batch norm with constant statistics: scale = norm_weight / sqrt(variance + eps), folded_weight =
// scale * weight, folded_bias = norm_bias + (bias - mean) * scale. Missing ones as above.
void batch_norm_fold(View<const float> weight, OptionalView<const float> bias,
                     OptionalView<const float> norm_weight, OptionalView<const float> norm_bias,
                     View<const float> mean, View<const float> variance, View<float> folded_weight,
                     View<float> folded_bias, double eps);

// Writes the gradients that are not None. `training`: the statistics were those of the input.
template <class T>
void batch_norm_backward(View<const T> grad_output, View<const T> input,
                         OptionalView<const float> weight, OptionalView<const float> bias,
                         View<const float> mean, View<const float> invstd,
                         OptionalView<T> grad_input, OptionalView<float> grad_weight,
                         OptionalView<float> grad_bias, bool training,
                         const std::string& activation, float alpha);

// mean and invstd are (N, G); G divides C.
template <class T>
void group_norm_forward(View<const T> input, OptionalView<const float> weight,
                        OptionalView<const float> bias, View<T> output, View<float> mean,
                        View<float> invstd, double eps, const std::string& activation, float alpha);

template <class T>
void group_norm_apply(View<const T> input, OptionalView<const float> weight,
                      OptionalView<const float> bias, View<const float> mean,
                      View<const float> invstd, View<T> output, const std::string& activation,
                      float alpha);

template <class T>
void group_norm_backward(View<const T> grad_output, View<const T> input,
                         OptionalView<const float> weight, OptionalView<const float> bias,
                         View<const float> mean, View<const float> invstd,
                         OptionalView<T> grad_input, OptionalView<float> grad_weight,
                         OptionalView<float> grad_bias, const std::string& activation, float alpha);

}  // namespace voxelgrad

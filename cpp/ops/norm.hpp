// Batch and group normalisation of (N, *spatial, C). Instance norm is group norm with G = C; layer
// norm is group norm of (rows, columns) with G = 1.
//
// Statistics and the sums of the backward pass are accumulated in double, in chunks that depend on
// the shape alone; chunks are added in order. weight and bias are (C,); those that are None count
// as 1 and 0. output may be input, grad_input may be grad_output.
#pragma once

#include "core/view.hpp"

namespace voxelgrad {

// Writes mean and invstd = 1 / sqrt(biased variance + eps), both (C,), and the normalised input.
void batch_norm_forward(View<const float> input, OptionalView<const float> weight,
                        OptionalView<const float> bias, View<float> output, View<float> mean,
                        View<float> invstd, double eps);

// Moves running statistics, float or double, towards those that batch_norm_forward wrote for
// `count` values a channel: running = (1 - momentum) * running + momentum * batch, with the
// unbiased variance.
template <class Statistic>
void batch_norm_update(View<const float> mean, View<const float> invstd,
                       View<Statistic> running_mean, View<Statistic> running_var,
                       std::int64_t count, double momentum, double eps);

// invstd = 1 / sqrt(variance + eps); the variance is float or double.
template <class Statistic>
void batch_norm_invstd(View<const Statistic> variance, View<float> invstd, double eps);

// The same as batch_norm_forward with given statistics.
void batch_norm_apply(View<const float> input, OptionalView<const float> weight,
                      OptionalView<const float> bias, View<const float> mean,
                      View<const float> invstd, View<float> output);

// The weight (out_channels, ...) and bias of a layer that does by itself what it does before a
// batch norm with constant statistics: scale = norm_weight / sqrt(variance + eps), folded_weight =
// scale * weight, folded_bias = norm_bias + (bias - mean) * scale. Missing ones as above.
void batch_norm_fold(View<const float> weight, OptionalView<const float> bias,
                     OptionalView<const float> norm_weight, OptionalView<const float> norm_bias,
                     View<const float> mean, View<const float> variance, View<float> folded_weight,
                     View<float> folded_bias, double eps);

// Writes the gradients that are not None. `training`: the statistics were those of the input.
void batch_norm_backward(View<const float> grad_output, View<const float> input,
                         OptionalView<const float> weight, View<const float> mean,
                         View<const float> invstd, OptionalView<float> grad_input,
                         OptionalView<float> grad_weight, OptionalView<float> grad_bias,
                         bool training);

// mean and invstd are (N, G); G divides C.
void group_norm_forward(View<const float> input, OptionalView<const float> weight,
                        OptionalView<const float> bias, View<float> output, View<float> mean,
                        View<float> invstd, double eps);

void group_norm_backward(View<const float> grad_output, View<const float> input,
                         OptionalView<const float> weight, View<const float> mean,
                         View<const float> invstd, OptionalView<float> grad_input,
                         OptionalView<float> grad_weight, OptionalView<float> grad_bias);

}  // namespace voxelgrad

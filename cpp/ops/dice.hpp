// The sums that the soft Dice loss is made of, and their gradient.
#pragma once

#include "core/view.hpp"

namespace voxelgrad {

// probabilities (N, *spatial, K), labels (N, *spatial) -> sums (N, K, 3): [sum of p where the label
// is k, sum of p, number of labels k] over the voxels whose label is not ignore_index. Summed in
// double in chunks fixed by the shape. A label outside [0, K) throws before sums are written.
void dice_sums(View<const float> probabilities, View<const std::int64_t> labels, View<double> sums,
               std::int64_t ignore_index);
// From sums (N, K, 3) to the loss (): 1 - mean of dice over the classes, where dice = (2 sums[0] +
// smooth) / denominator and denominator = sums[1] + sums[2] + smooth. dice and denominator are
// (N, K), or (1, K) to sum over the batch first; where the denominator is 0, dice is 1.
void dice_score(View<const double> sums, View<double> dice, View<double> denominator,
                View<float> output, double smooth, bool include_background);
// The coefficients (N, K) that dice_backward takes, given the gradient () of the loss.
void dice_coefficients(View<const double> dice, View<const double> denominator,
                       View<const float> grad_output, View<float> coefficient_intersection,
                       View<float> coefficient_sum, bool include_background);
// coefficient_sum[n, k] + coefficient_intersection[n, k] * [label is k], 0 where ignored.
void dice_backward(View<const std::int64_t> labels, View<const float> coefficient_intersection,
                   View<const float> coefficient_sum, View<float> grad_probabilities,
                   std::int64_t ignore_index);

}  // namespace voxelgrad

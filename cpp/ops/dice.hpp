// The sums that the soft Dice loss is made of, and their gradient.
#pragma once

#include "core/view.hpp"

namespace voxelgrad {

// probabilities (N, *spatial, K), labels (N, *spatial) -> sums (N, K, 3): [sum of p where the label
// is k, sum of p, number of labels k] over the voxels whose label is not ignore_index. Summed in
// double in chunks fixed by the shape. A label outside [0, K) throws before sums are written.
void dice_sums(View<const float> probabilities, View<const std::int64_t> labels, View<double> sums,
               std::int64_t ignore_index);
// coefficient_sum[n, k] + coefficient_intersection[n, k] * [label is k], 0 where ignored.
void dice_backward(View<const std::int64_t> labels, View<const float> coefficient_intersection,
                   View<const float> coefficient_sum, View<float> grad_probabilities,
                   std::int64_t ignore_index);

}  // namespace voxelgrad

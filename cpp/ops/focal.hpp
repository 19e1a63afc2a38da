// Softmax focal loss between scores (R.., K) and labels (R..), weighted by class (T.-Y. Lin et al.,
// Focal loss for dense object detection, 2017, eq. 5).
#pragma once

#include "core/view.hpp"

namespace voxelgrad {

// Writes totals = {sum of weight[label] * (1 - p)^gamma * -log p, sum of weight[label]} over the
// rows whose label is not ignore_index; p is the label's softmax. Summed in double in chunks fixed
// by the shape. A label outside [0, K) throws before totals are written.
void focal_forward(View<const float> logits, View<const std::int64_t> labels,
                   OptionalView<const float> class_weight, View<double> totals, double gamma,
                   std::int64_t ignore_index);
// The gradient of totals[0] / totals[1] times grad_output ().
void focal_backward(View<const float> logits, View<const std::int64_t> labels,
                    OptionalView<const float> class_weight, View<const double> totals,
                    View<const float> grad_output, View<float> grad_logits, double gamma,
                    std::int64_t ignore_index);

}  // namespace voxelgrad

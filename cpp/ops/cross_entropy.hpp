// Cross-entropy between scores (R.., K) and labels (R..), weighted by class.
#pragma once

#include "core/view.hpp"

namespace voxelgrad {

// Writes log_sum_exp (R..) and totals = {sum of weight[label] * -log softmax(logits)[label], sum of
// weight[label]} over the rows whose label is not ignore_index. Losses are summed in double in
// chunks fixed by the shape. A label outside [0, K) throws before totals are written.
void cross_entropy_forward(View<const float> logits, View<const std::int64_t> labels,
                           OptionalView<const float> class_weight, View<float> log_sum_exp,
                           View<double> totals, std::int64_t ignore_index);
// The gradient of totals[0] / totals[1] times grad_output (): grad_output / totals[1] *
// weight[label] * (softmax(logits) - one_hot(label)), 0 in ignored rows.
void cross_entropy_backward(View<const float> logits, View<const std::int64_t> labels,
                            OptionalView<const float> class_weight, View<const float> log_sum_exp,
                            View<const double> totals, View<const float> grad_output,
                            View<float> grad_logits, std::int64_t ignore_index);

}  // namespace voxelgrad

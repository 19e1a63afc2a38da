// Losses of two arrays of one shape, element by element. Totals are {sum of losses, number of
// elements}, summed in double in chunks fixed by the shape. Backward writes the gradient of
// totals[0] / totals[1] times grad_output ().
#pragma once

#include <string>

#include "core/view.hpp"

namespace voxelgrad {

// -(pos_weight * t * log s + (1 - t) * log(1 - s)), s = sigmoid(logits)
void bce_with_logits_forward(View<const float> logits, View<const float> targets,
                             View<double> totals, double pos_weight);
void bce_with_logits_backward(View<const float> logits, View<const float> targets,
                              View<const double> totals, View<const float> grad_output,
                              View<float> grad_logits, double pos_weight);

// kind: mse (squared difference) or l1 (absolute difference)
void distance_forward(const std::string& kind, View<const float> input, View<const float> target,
                      View<double> totals);
void distance_backward(const std::string& kind, View<const float> input, View<const float> target,
                       View<const double> totals, View<const float> grad_output,
                       View<float> grad_input);

}  // namespace voxelgrad

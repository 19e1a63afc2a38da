// Losses that are weighted means: from totals = {sum of losses, sum of weights} to the mean, and
// from the mean's gradient to that of each summand.
#pragma once

#include <string>

#include "core/view.hpp"

namespace voxelgrad {

// output () = totals[0] / totals[1]; throws, naming `op`, unless something was counted.
void mean_of_totals(const std::string& op, View<const double> totals, View<float> output);

// d mean / d summand: grad_output () / totals[1].
double mean_scale(const char* op, const View<const float>& grad_output,
                  const View<const double>& totals);

// Throws, naming `op`, unless all targets lie in [0, 1].
void check_probabilities(const std::string& op, View<const float> targets);

}  // namespace voxelgrad

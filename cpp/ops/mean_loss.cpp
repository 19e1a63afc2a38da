#include "ops/mean_loss.hpp"

#include <algorithm>

#include "core/check.hpp"
#include "ops/labels.hpp"

namespace voxelgrad {

void mean_of_totals(const std::string& op, View<const double> totals, View<float> output) {
    check_totals(op.c_str(), totals);
    check(output.size() == 1, op, ": output ", output, " must be a single number");
    check(totals.data[1] > 0.0, op,
          ": nothing is counted, so there is no mean: all labels equal ignore_index or have "
          "class_weight 0; leave such a batch out");
    output.data[0] = static_cast<float>(totals.data[0] / totals.data[1]);
}

double mean_scale(const char* op, const View<const float>& grad_output,
                  const View<const double>& totals) {
    check_totals(op, totals);
    check(grad_output.size() == 1, op, ": grad_output ", grad_output, " must be a single number");
    return static_cast<double>(grad_output.data[0]) / totals.data[1];
}

void check_probabilities(const std::string& op, View<const float> targets) {
    const float* const end = targets.data + targets.size();
    bool inside = true;
    for (const float* target = targets.data; target != end; ++target)
        inside &= *target >= 0.0f && *target <= 1.0f;  // NaN is not
    if (inside) return;
    const float* const first =
        std::find_if_not(targets.data, end, [](float t) { return t >= 0.0f && t <= 1.0f; });
    fail(op, ": targets hold ", *first, " (element ", first - targets.data,
         "); they must be probabilities or labels in [0, 1]");
}

}  // namespace voxelgrad

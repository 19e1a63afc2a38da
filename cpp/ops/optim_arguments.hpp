// The arguments of optimizer steps: which arrays belong together, and the numbers of Adam's step.
#pragma once

#include <cmath>
#include <vector>

#include "core/check.hpp"
#include "core/optim_steps.hpp"

namespace voxelgrad {

template <class T>
void check_match(const char* op, const std::vector<View<float>>& params, const char* name,
                 const std::vector<View<T>>& others) {
    check(others.size() == params.size(), op, ": there are ", params.size(), " params but ",
          others.size(), ' ', name);
    for (std::size_t i = 0; i < params.size(); ++i)
        check(same_shape(params[i], others[i]), op, ": params[", i, "] ", params[i], " and ", name,
              '[', i, "] ", others[i], " must have the same shape");
}

// `step` is counted from 1.
inline AdamStep adam_constants(double lr, double beta1, double beta2, double eps,
                               double weight_decay, bool decoupled, std::int64_t step) {
    check(step >= 1, "adam_step: step is ", step, "; steps are counted from 1");
    const double correction1 = 1.0 - std::pow(beta1, static_cast<double>(step));
    const double correction2 = 1.0 - std::pow(beta2, static_cast<double>(step));
    return {
        .beta1 = static_cast<float>(beta1),
        .one_minus_beta1 = static_cast<float>(1.0 - beta1),
        .beta2 = static_cast<float>(beta2),
        .one_minus_beta2 = static_cast<float>(1.0 - beta2),
        .step_size = static_cast<float>(lr / correction1),
        .inverse_correction = static_cast<float>(1.0 / std::sqrt(correction2)),
        .eps = static_cast<float>(eps),
        .l2 = decoupled ? 0.0f : static_cast<float>(weight_decay),
        .keep = decoupled ? static_cast<float>(1.0 - lr * weight_decay) : 1.0f,
    };
}

}  // namespace voxelgrad

// Optimizer steps over lists of arrays, in place, in one pass over all of them.
#pragma once

#include <vector>

#include "core/view.hpp"

namespace voxelgrad {

using Arrays = std::vector<View<float>>;
using ConstArrays = std::vector<View<const float>>;

// With g = grad + weight_decay * param: buffer = momentum * buffer + g, and param follows buffer,
// or g + momentum * buffer with nesterov. `buffers` is empty when momentum is 0.
void sgd_step(const Arrays& params, const ConstArrays& grads, const Arrays& buffers, double lr,
              double momentum, bool nesterov, double weight_decay);

// Step number `step` (from 1) of Adam, or of AdamW when `decoupled`.
void adam_step(const Arrays& params, const ConstArrays& grads, const Arrays& exp_avgs,
               const Arrays& exp_avg_sqs, double lr, double beta1, double beta2, double eps,
               double weight_decay, bool decoupled, std::int64_t step);

// Sum of the squares of all elements, in double; the order is fixed by the extents.
double squared_norm(const ConstArrays& arrays);
void scale_inplace(const Arrays& arrays, double factor);
bool all_finite(View<const float> array);

}  // namespace voxelgrad

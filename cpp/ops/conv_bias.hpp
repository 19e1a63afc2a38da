#pragma once

#include "ops/conv_arguments.hpp"
#include "ops/reduce.hpp"

namespace voxelgrad {

// The gradient of a bias, if it is asked for.
template <class T>
void bias_gradient(const char* op, const View<const T>& grad_output,
                   const OptionalView<float>& grad_bias) {
    if (grad_bias) reduce_sum(grad_output, bias_sums(op, grad_output, grad_bias), 1.0);
}

}  // namespace voxelgrad

// Arithmetic of two runs of floats.
#pragma once

#include <cstdint>

#include "kernels/dispatch.hpp"

namespace voxelgrad {

enum class Binary { add, sub, mul, div, maximum, minimum };

struct ArithmeticKernels {
    // output[i] = a[i * step_a] kind b[i * step_b], steps 0 or 1. NaN wins in maximum and minimum.
    // Output may be an operand of step 1.
    void (*binary)(Binary kind, const float* a, std::int64_t step_a, const float* b,
                   std::int64_t step_b, float* output, std::int64_t count);
};

VOXELGRAD_KERNEL_TABLE(ArithmeticKernels, arithmetic)

}  // namespace voxelgrad

// Sums of floats, accumulated in double.
#pragma once

#include <cstdint>

#include "kernels/dispatch.hpp"

namespace voxelgrad {

struct ReduceKernels {
    // The sum of a run.
    double (*sum)(const float* input, std::int64_t count);
    // totals[i] += input[i]
    void (*add_to)(double* totals, const float* input, std::int64_t count);
};

VOXELGRAD_KERNEL_TABLE(ReduceKernels, reduce)

}  // namespace voxelgrad

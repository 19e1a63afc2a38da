// Sums of float or bf16, accumulated in double.
#pragma once

#include <cstdint>

#include "kernels/dispatch.hpp"

namespace voxelgrad {

template <class T>
struct ReduceKernels {
    // The sum of a run.
    double (*sum)(const T* input, std::int64_t count);
    // totals[i] += input[i]
    void (*add_to)(double* totals, const T* input, std::int64_t count);
};

VOXELGRAD_TYPED_KERNEL_TABLES(ReduceKernels, reduce)

}  // namespace voxelgrad

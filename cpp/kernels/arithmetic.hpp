// Arithmetic of runs of float or bf16.
#pragma once

#include <cstdint>

#include "core/kinds.hpp"
#include "kernels/dispatch.hpp"

namespace voxelgrad {

// Output may be an operand of step 1. past_cache: write past the cache; output is aligned to a
// cache line. Follow the last run with the fence of CopyKernels before another thread may read.
template <class T>
struct ArithmeticKernels {
    // output[i] = a[i * step_a] kind b[i * step_b], steps 0 or 1. NaN wins in maximum and minimum.
    void (*binary)(Binary kind, const T* a, std::int64_t step_a, const T* b, std::int64_t step_b,
                   T* output, std::int64_t count, bool past_cache);
    // output[i] = input[i * step] * factor, step 0 or 1.
    void (*scale)(const T* input, std::int64_t step, float factor, T* output, std::int64_t count,
                  bool past_cache);
};

VOXELGRAD_TYPED_KERNEL_TABLES(ArithmeticKernels, arithmetic)

}  // namespace voxelgrad

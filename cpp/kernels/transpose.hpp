// Transposing a matrix of float or bf16.
#pragma once

#include <cstdint>

#include "kernels/dispatch.hpp"

namespace voxelgrad {

template <class T>
struct TransposeKernels {
    // output[r * output_step + c] = input[c * input_step + r] for r < rows, c < columns.
    // past_cache: whole cache lines may be written past the cache; output must be aligned to 64
    // bytes and output_step be whole cache lines.
    void (*matrix)(const T* input, std::int64_t input_step, T* output, std::int64_t output_step,
                   std::int64_t rows, std::int64_t columns, bool past_cache);
};

VOXELGRAD_TYPED_KERNEL_TABLES(TransposeKernels, transpose)

}  // namespace voxelgrad

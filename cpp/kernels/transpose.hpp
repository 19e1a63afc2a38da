// Transposing a matrix of floats.
#pragma once

#include <cstdint>

#include "kernels/dispatch.hpp"

namespace voxelgrad {

struct TransposeKernels {
    // output[r * output_step + c] = input[c * input_step + r] for r < rows, c < columns.
    // past_cache: whole cache lines may be written past the cache; output must be aligned to 64
    // bytes and output_step be a multiple of 16.
    void (*matrix)(const float* input, std::int64_t input_step, float* output,
                   std::int64_t output_step, std::int64_t rows, std::int64_t columns,
                   bool past_cache);
};

VOXELGRAD_KERNEL_TABLE(TransposeKernels, transpose)

}  // namespace voxelgrad

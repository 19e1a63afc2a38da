// A matrix (rows, columns) times one vector: every number of the matrix is read once.
#pragma once

#include <cstdint>

#include "kernels/dispatch.hpp"

namespace voxelgrad {

struct MatrixRowKernels {
    // output[r] = start[r] + sum over columns of matrix[r][c] * vector[c], times `slope` where
    // negative; start may be null. Sums run in as many interleaved parts as four vectors have
    // lanes.
    void (*dot)(const float* matrix, std::int64_t rows, std::int64_t columns, const float* vector,
                const float* start, float slope, float* output);
    // sums[c] = sum over rows, in order, of factor[r] * matrix[r][c]
    void (*add)(const float* matrix, std::int64_t rows, std::int64_t columns, const float* factor,
                float* sums);
};

VOXELGRAD_KERNEL_TABLE(MatrixRowKernels, matrix_row)

}  // namespace voxelgrad

// Softmax of rows of class scores. `tile`: tile_size(classes) floats of scratch, twice for
// backward.
#pragma once

#include "kernels/class_rows.hpp"
#include "kernels/dispatch.hpp"

namespace voxelgrad {

struct SoftmaxKernels {
    void (*forward)(const float* input, float* output, std::int64_t rows, std::int64_t classes,
                    bool log, float* tile);
    void (*backward)(const float* grad_output, const float* output, float* grad_input,
                     std::int64_t rows, std::int64_t classes, bool log, float* tile);
};

VOXELGRAD_KERNEL_TABLE(SoftmaxKernels, softmax)

}  // namespace voxelgrad

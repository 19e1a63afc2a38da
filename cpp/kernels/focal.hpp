// Focal loss of rows of class scores. Labels have been checked; `tile`: tile_size(classes) floats
// of scratch; class_weight may be null.
#pragma once

#include "kernels/class_rows.hpp"
#include "kernels/dispatch.hpp"

namespace voxelgrad {

struct FocalKernels {
    // Writes {sum of weighted losses, sum of weights}.
    void (*forward)(const float* logits, const std::int64_t* labels, const float* class_weight,
                    std::int64_t rows, std::int64_t classes, float gamma, std::int64_t ignore_index,
                    float* tile, double* totals);
    void (*backward)(const float* logits, const std::int64_t* labels, const float* class_weight,
                     float* grad_logits, std::int64_t rows, std::int64_t classes, float gamma,
                     std::int64_t ignore_index, float grad_scale, float* tile);
};

VOXELGRAD_KERNEL_TABLE(FocalKernels, focal)

}  // namespace voxelgrad

// The sums of the soft Dice loss over rows of class probabilities, and their gradient. Labels have
// been checked; `tile`: tile_size(classes) floats of scratch.
#pragma once

#include "kernels/class_rows.hpp"
#include "kernels/dispatch.hpp"

namespace voxelgrad {

struct DiceKernels {
    // Adds to sums (classes, 3): p where the label is the class, p, and 1 where the label is the
    // class, over the rows whose label is not ignore_index.
    void (*sums)(const float* probabilities, const std::int64_t* labels, std::int64_t rows,
                 std::int64_t classes, std::int64_t ignore_index, float* tile, double* sums);
    // total[k] + intersection[k] * [label == k], 0 in ignored rows.
    void (*backward)(const std::int64_t* labels, const float* intersection, const float* total,
                     float* grad_probabilities, std::int64_t rows, std::int64_t classes,
                     std::int64_t ignore_index, float* tile);
};

VOXELGRAD_KERNEL_TABLE(DiceKernels, dice)

}  // namespace voxelgrad

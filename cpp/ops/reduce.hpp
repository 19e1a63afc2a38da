// Sums over axes.
#pragma once

#include "core/view.hpp"

namespace voxelgrad {

// output = scale * sum of input over the axes where output has extent 1 (as many axes). Accumulated
// in double; the order is fixed by the shape. float or bf16; sums of bf16 may be
// float.
template <class In, class Out>
void reduce_sum(View<const In> input, View<Out> output, double scale);

}  // namespace voxelgrad

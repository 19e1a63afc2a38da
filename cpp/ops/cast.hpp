// Conversion between float32 and bfloat16 (to the nearest, ties to even; NaN stays NaN).
#pragma once

#include "core/bf16.hpp"
#include "core/view.hpp"

namespace voxelgrad {

void narrow(View<const float> input, View<bf16> output);
void widen(View<const bf16> input, View<float> output);

}  // namespace voxelgrad

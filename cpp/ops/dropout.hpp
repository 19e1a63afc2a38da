// Dropout whose mask depends on the seed and the element's flat index alone.
#pragma once

#include "core/view.hpp"

namespace voxelgrad {

// output[i] = input[i] / (1 - p) if uniform(seed, i) >= p, else 0; forward and backward alike.
// uniform is the top 24 bits of splitmix64(seed + (i + 1) * 0x9E3779B97F4A7C15), times 2^-24.
// Output may be the input.
void dropout(View<const float> input, View<float> output, double p, std::uint64_t seed);

}  // namespace voxelgrad

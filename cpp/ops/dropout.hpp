// Dropout whose mask depends on the seed and the element's flat index alone.
#pragma once

#include "core/view.hpp"

namespace voxelgrad {

// output[i] = input[i] / (1 - p) if uniform(seed, i) >= p, else 0; forward and backward alike.
// uniform is 24 bits of splitmix64(seed + (i / 2 + 1) * 0x9E3779B97F4A7C15), times 2^-24: bits 8 to
// 31 where i is even, the upper ones where it is odd.
// float or bf16; output may be the input.
template <class T>
void dropout(View<const T> input, View<T> output, double p, std::uint64_t seed);

}  // namespace voxelgrad

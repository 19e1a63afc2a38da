// Dropout of float or bf16 with a counter-based generator.
#pragma once

#include <cstdint>

#include "kernels/dispatch.hpp"

namespace voxelgrad {

template <class T>
struct DropoutKernels {
    // Element i of the run is element first + i of the array, first even: it is kept, times
    // `scale`, if its 24 random bits are at least `threshold`. Output may be the input. past_cache:
    // write past the cache; output is aligned to a cache line.
    void (*apply)(const T* input, T* output, std::int64_t first, std::int64_t count,
                  std::uint64_t seed, std::int32_t threshold, float scale, bool past_cache);
};

VOXELGRAD_TYPED_KERNEL_TABLES(DropoutKernels, dropout)

}  // namespace voxelgrad

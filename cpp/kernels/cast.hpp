// Converting between float and bfloat16.
#pragma once

#include <cstdint>

#include "kernels/dispatch.hpp"

namespace voxelgrad {

struct CastKernels {
    // past_cache: write past the cache; output is aligned to a cache line.
    void (*narrow)(const float* input, bf16* output, std::int64_t count, bool past_cache);
    void (*widen)(const bf16* input, float* output, std::int64_t count, bool past_cache);
};

VOXELGRAD_KERNEL_TABLE(CastKernels, cast)

}  // namespace voxelgrad

// Copying floats.
#pragma once

#include <cstdint>

#include "kernels/dispatch.hpp"

namespace voxelgrad {

struct CopyKernels {
    // Past the cache: output aligned to 64 bytes, count a multiple of 16. Call fence after the last
    // one, before another thread may read.
    void (*past_cache)(const float* input, float* output, std::int64_t count);
    void (*fence)();
};

VOXELGRAD_KERNEL_TABLE(CopyKernels, copy)

}  // namespace voxelgrad

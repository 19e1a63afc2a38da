// Nothing but fused multiply-adds in registers: what the processor can do at most.
#pragma once

#include <cstdint>

#include "kernels/dispatch.hpp"

namespace voxelgrad {

struct PeakKernels {
    // Runs `rounds` rounds and returns how many floating-point operations that were; `sink` gets a
    // value that depends on all of them.
    std::int64_t (*fma)(std::int64_t rounds, float* sink);
};

VOXELGRAD_KERNEL_TABLE(PeakKernels, peak)

}  // namespace voxelgrad

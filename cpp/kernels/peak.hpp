// Nothing but multiply-adds in registers, nothing but bytes: what the machine can do at most.
#pragma once

#include <cstdint>

#include "kernels/dispatch.hpp"

namespace voxelgrad {

struct PeakKernels {
    // Runs `rounds` rounds and returns how many floating-point operations that were; `sink` gets a
    // value that depends on all of them.
    std::int64_t (*fma)(std::int64_t rounds, float* sink);
    // Passes over arrays; count is a multiple of 128, output aligned to 64 bytes. Past the cache:
    // see CopyKernels.
    float (*read)(const float* a, std::int64_t count);
    void (*write)(float* output, std::int64_t count);
    void (*copy)(const float* a, float* output, std::int64_t count);
    void (*triad)(const float* a, const float* b, float* output, std::int64_t count);
    void (*triad_past_cache)(const float* a, const float* b, float* output, std::int64_t count);
    // One number read for four written, and four read for one written: the quarter of an array.
    void (*spread_past_cache)(const float* a, float* output, std::int64_t count);
    void (*gather_past_cache)(const float* a, float* output, std::int64_t count);
};

VOXELGRAD_KERNEL_TABLE(PeakKernels, peak)

}  // namespace voxelgrad

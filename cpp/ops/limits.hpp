// The machine's limits, to be timed by a benchmark.
#pragma once

#include <cstdint>

namespace voxelgrad {

// Multiply-adds in registers on all threads; returns the number of floating-point operations.
std::int64_t run_fma(std::int64_t rounds);

}  // namespace voxelgrad

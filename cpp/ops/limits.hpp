// The machine's limits, to be timed by a benchmark.
//
// The only functions that cut their work by the number of threads: the threads are what they
// measure.
#pragma once

#include <cstdint>
#include <string>

#include "core/view.hpp"

namespace voxelgrad {

// Multiply-adds in registers on all threads; returns the number of floating-point operations.
std::int64_t run_fma(std::int64_t rounds);

// The same for products of bfloat16 in blocks of 32 x 32, operands in the first-level cache.
std::int64_t run_tiles(std::int64_t rounds);

// `rounds` passes over arrays of one shape (size,), every thread over its own part; returns the
// bytes that were read and written. kind: read (a), write (output), copy (a to output), triad
// (output = a + 0.999 * b); and past the cache copy_past_cache, triad_past_cache, spread_past_cache
// (four numbers written for each read) and gather_past_cache (one for each four read).
std::int64_t run_bandwidth(const std::string& kind, View<const float> a, View<const float> b,
                           View<float> output, std::int64_t rounds);

}  // namespace voxelgrad

// When results are better written past the cache.
//
// A plain store first reads the line that it overwrites; a store past the cache does not, but the
// next reader finds nothing in cache. It pays for results that no cache would hold anyway.
#pragma once

#include <cstdint>

namespace voxelgrad {

constexpr std::int64_t streaming_line = 16;  // floats in a cache line

// Whether `size` floats at `result`, written in whole runs of `unit` floats, are worth it. Every
// run is then a number of whole, aligned cache lines.
inline bool worth_streaming(const float* result, std::int64_t size, std::int64_t unit) {
    constexpr std::int64_t more_than_caches_hold = 1 << 22;
    const bool aligned =
        reinterpret_cast<std::uintptr_t>(result) % (streaming_line * sizeof(float)) == 0;
    return aligned && unit % streaming_line == 0 && size >= more_than_caches_hold;
}

}  // namespace voxelgrad

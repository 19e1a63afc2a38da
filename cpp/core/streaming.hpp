// When results are better written past the cache.
//
// A plain store first reads the line that it overwrites; a store past the cache does not, but the
// next reader finds nothing in cache. It pays for results that no cache would hold anyway.
#pragma once

#include <cstdint>

namespace voxelgrad {

constexpr std::int64_t cache_line = 64;  // bytes

// Whether `size` elements at `result`, written in whole runs of `unit` elements, are worth it.
// Every run is then a number of whole, aligned cache lines.
template <class T>
bool worth_streaming(const T* result, std::int64_t size, std::int64_t unit) {
    constexpr std::int64_t more_than_caches_hold = std::int64_t{16} << 20;
    constexpr std::int64_t element = sizeof(T);
    const bool aligned = reinterpret_cast<std::uintptr_t>(result) % cache_line == 0;
    return aligned && unit * element % cache_line == 0 && size * element >= more_than_caches_hold;
}

}  // namespace voxelgrad

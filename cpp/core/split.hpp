// Cutting n things into parts: by the problem alone, so that results do not depend on threads.
#pragma once

#include <algorithm>
#include <cstdint>

namespace voxelgrad {

constexpr std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// The size of the parts when n things are cut evenly into as few parts as hold at most `most` each.
constexpr std::int64_t even_part(std::int64_t n, std::int64_t most) {
    const std::int64_t some = std::max<std::int64_t>(n, 1);
    return divide_up(some, divide_up(some, most));
}

}  // namespace voxelgrad

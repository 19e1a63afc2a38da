// A source pixel of a window over an image.
#pragma once

#include <cstdint>

namespace voxelgrad {

struct WindowTap {
    std::int64_t offset;  // to the first channel of the source pixel, in elements
    std::int32_t place;   // position in a pooling window
    float weight;
};

constexpr std::int32_t no_place = 255;  // in windows of fewer than 256 places

}  // namespace voxelgrad

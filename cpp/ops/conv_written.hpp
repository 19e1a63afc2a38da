// What an algorithm tells of the output as it writes it (ConvEpilogue::written).
#pragma once

#include <algorithm>

#include "core/written_chunks.hpp"
#include "ops/conv_strip.hpp"

namespace voxelgrad {

// `channels` channels of a box of pixels are written, in an output whose images have these extents
// and lie in one piece.
inline void tell_of_box(WrittenChunks& written, const std::int64_t* extent, std::int64_t image,
                        const std::int64_t* first, const std::int64_t* count,
                        std::int64_t channels) {
    for (std::int64_t depth = first[0]; depth < first[0] + count[0]; ++depth)
        for (std::int64_t row = first[1]; row < first[1] + count[1]; ++row) {
            const std::int64_t pixel =
                ((image * extent[0] + depth) * extent[1] + row) * extent[2] + first[2];
            written.wrote(pixel, pixel + count[2], channels);
        }
}

// Panels [begin, end) of a forward pass, which has one phase, have written a box; a panel has
// `width` channels of the `channels` that there are.
inline void tell_of_panels(WrittenChunks& written, const std::int64_t* extent, const StripBox& box,
                           std::int64_t begin, std::int64_t end, std::int64_t width,
                           std::int64_t channels) {
    tell_of_box(written, extent, box.image, box.first, box.count,
                std::min(end * width, channels) - begin * width);
}

}  // namespace voxelgrad

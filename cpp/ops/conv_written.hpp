// What an algorithm tells of the output as it writes it (ConvEpilogue::written).
#pragma once

#include "core/written_chunks.hpp"
#include "ops/conv_geometry.hpp"

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

}  // namespace voxelgrad

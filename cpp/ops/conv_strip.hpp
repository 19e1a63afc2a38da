// A strip: the part of an image that a box of pixels needs, copied with its padding into
// [channel block][depth][row][column phase][column][channel], small enough for the L2 cache.
//
// In blocks of 16 channels and in planes of one, columns are sorted by their remainder modulo the
// stride, so that the columns which neighbouring target pixels read lie side by side for every
// stride. Few channels stay as the image has them: whole pixels, column by column; then what
// neighbouring taps read is one run.
#pragma once

#include <cstdint>

#include "ops/conv_gather.hpp"

namespace voxelgrad {

enum class StripOrder { blocks, pixels, planes };

struct StripLayout {
    StripOrder order;
    std::int64_t box[conv_axes];     // target pixels, the largest box
    std::int64_t extent[conv_axes];  // source pixels that it needs
    std::int64_t block, blocks;      // channels of a block; blocks
    std::int64_t unit;               // column phases
    std::int64_t columns;            // of one column phase
    std::int64_t pixel_step;         // floats from one target pixel's source to the next one's
    std::int64_t row_stride, block_stride, size;  // floats

    // From the strip's start to the source pixel `relative` (axes: depth, row, column).
    std::int64_t offset(std::int64_t depth, std::int64_t row, std::int64_t column) const;
};

// The largest box whose strip stays within `budget` floats (one pixel at the least).
StripLayout plan_strip(const GatherPhase& phase, StripOrder order, std::int64_t source_channels,
                       std::int64_t budget);
// The order for register blocks that broadcast source channels.
StripOrder broadcast_order(std::int64_t source_channels);

// One of the boxes that the target pixels of all images are cut into.
struct StripBox {
    std::int64_t image;
    std::int64_t first[conv_axes], count[conv_axes];  // target pixels of the phase
};

// `box`: target pixels of the largest box.
std::int64_t boxes_of_image(const std::int64_t* box, const GatherPhase& phase);
StripBox box_at(const std::int64_t* box, const GatherPhase& phase, std::int64_t number);
// The part of a box of the merged phases that one of them has.
StripBox clipped(const StripBox& box, const GatherPhase& phase);
// The first target pixel of row (depth, height) of a box, counted through all images.
std::int64_t row_start(const GatherPhase& phase, const StripBox& box, const std::int64_t* extent,
                       std::int64_t depth, std::int64_t height);

struct StripSource {
    const float* data;           // first pixel of the first image, first channel wanted
    const std::int64_t* extent;  // of an image
    std::int64_t pixel_stride;   // floats
    std::int64_t channels;       // wanted
};

// Fills the strip with the source pixels that a box needs.
void fill_strip(const StripLayout& layout, const GatherPhase& phase, const StripSource& source,
                const StripBox& box, float* strip);

}  // namespace voxelgrad

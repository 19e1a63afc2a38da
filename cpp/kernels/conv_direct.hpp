// The innermost loops of direct convolution: a row of pixels times a panel of channels.
//
// Source pixels are read from a strip: a padded copy of a box of the image, in blocks of 16
// channels, [channel block][depth][row][column][16]. So neighbouring pixels lie 64 bytes apart
// whatever the number of channels is, and the broadcasts of a register block have constant offsets.
#pragma once

#include <cstdint>

#include "kernels/dispatch.hpp"

namespace voxelgrad {

constexpr std::int64_t strip_block = 16;  // channels that lie side by side in a strip

struct ConvRow {
    const float* strip;              // first pixel of the row, tap offset zero, channel block zero
    std::int64_t block_stride;       // floats from one channel block to the next
    const std::int64_t* tap_offset;  // floats, one per tap
    std::int64_t taps;
    std::int64_t taps_before, taps_after;  // left out: the weight has them, tap_offset has not
    std::int64_t source_channels;
    const float* weight;         // [channel block][tap][channel][panel]
    const float* bias;           // panel values to start from
    float slope;                 // of negative results: they are multiplied by it
    float* output;               // first pixel, first channel of the panel
    std::int64_t output_stride;  // floats from one pixel to the next
    int pixels;
    int output_channels;               // of this panel: 1 .. panel
    bool stream;                       // past the cache: whole vectors at aligned addresses only
    std::int64_t block = strip_block;  // channels of a channel block
    std::int64_t pixel_step = strip_block;  // floats from one pixel's source to the next one's
};

struct ConvDirectKernels {
    int panel;  // output channels that are computed together
    // Sums over channel blocks, then taps, then channels, each in order. A row that is written past
    // the cache needs a fence before another thread may read it (CopyKernels).
    void (*row)(const ConvRow&);
    // Copies `count` pixels with all their channels into strip pixels.
    void (*pack)(const float* source, std::int64_t source_stride, float* strip,
                 std::int64_t block_stride, std::int64_t count, std::int64_t channels);
};

VOXELGRAD_KERNEL_TABLE(ConvDirectKernels, conv_direct)

}  // namespace voxelgrad

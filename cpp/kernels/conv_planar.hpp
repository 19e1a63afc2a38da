// The innermost loops of direct convolution with few target channels: vectors run over pixels.
//
// Source pixels are read from a strip in planes, [channel][depth][row][column], so that a vector
// holds one channel of neighbouring pixels; the weights are broadcast.
#pragma once

#include "kernels/conv_direct.hpp"

namespace voxelgrad {

constexpr std::int64_t planar_channels = 8;  // output channels at once, at most
constexpr std::int64_t planar_slack = 16;    // floats behind a row of the strip that may be read

// For the gradient of the weight: sums of products of one channel of the strip, at each tap, with
// each of the other grid's channels.
struct PlanarProducts {
    const float* strip;
    const std::int64_t* row_offset;  // floats, one per row
    const std::int64_t* tap_offset;  // floats, one per tap
    const float* planes;             // [row][channel][pixel]
    std::int64_t row_size;           // floats from one channel to the next
    std::int64_t rows, pixels;
    int taps, channels;  // channels: 1 .. 8
    float* sums;         // [tap][channel][lane]
};

struct ConvPlanarKernels {
    int lanes;
    // A row of pixels times up to 8 output channels. The strip's blocks are planes of one channel;
    // weight is [channel][tap][output channel]. Sums over channels, then taps, each in order.
    // Never writes past the cache.
    void (*row)(const ConvRow&);
    // Turns pixels of up to 8 channels, side by side, into planes `pitch` floats apart.
    void (*turn)(const float* pixels, std::int64_t count, int channels, float* planes,
                 std::int64_t pitch);
    // Each lane adds its pixels, row by row, to its sum.
    void (*add_products)(const PlanarProducts&);
    // The total of each of `count` vectors, in a fixed order.
    void (*sum_lanes)(const float* vectors, std::int64_t count, float* totals);
};

VOXELGRAD_KERNEL_TABLE(ConvPlanarKernels, conv_planar)

}  // namespace voxelgrad

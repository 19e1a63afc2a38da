// The weight gradient of 3x3 kernels with few source channels, in the frequencies of Winograd's
// F(3x3, 2x2): pairs of target rows and columns against 4 source rows and columns.
//
// On each axis, with source values x0 .. x3 and target values y0, y1, the frequencies are
//     (x0 - x2) y0,  (x1 + x2) (y0 + y1),  (x2 - x1) (y0 - y1),  (x1 - x3) y1
// and the three taps are  m0 + h, (m1 - m2) / 2, h - m3  with  h = (m1 + m2) / 2.
#pragma once

#include <cstdint>

#include "kernels/dispatch.hpp"

namespace voxelgrad {

constexpr int thin_frequencies = 4;  // of an axis

struct ThinSource {
    const float* rows[thin_frequencies];  // 2 * pairs + 2 pixels each, side by side
    std::int64_t pairs;                   // of columns
    int channels;
    float* combined;     // room for a row
    float* frequencies;  // [row frequency][pair][column frequency][channel]
};

// What becomes of two rows of the target for one row frequency.
enum class ThinRows { first, sum, difference };

struct ThinProducts {
    const float* frequencies;  // of the row frequency
    ThinRows combine;
    const float* first;  // rows of the target, at the first channel of a vector
    const float* second;
    std::int64_t pixels, pixel_step;
    std::int64_t valid;  // channels from there on; a vector's others count as zero
    int channels;        // of the source
    const float* ahead;  // every second pixel from here is asked for
    float* sums;         // [column frequency][channel][lane]
};

struct ConvThinKernels {
    int lanes;
    void (*transform)(const ThinSource&);
    // Adds a row, or a pair of rows, pixel after pixel.
    void (*add_products)(const ThinProducts&);
};

VOXELGRAD_KERNEL_TABLE(ConvThinKernels, conv_thin)

}  // namespace voxelgrad

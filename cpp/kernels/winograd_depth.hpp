// F(2, 3) over pairs of slices whose tiles are frequencies already: four products stand for the six
// of three taps in depth. The points are 0, 1, -1 and infinity.
#pragma once

#include <cstdint>

#include "kernels/dispatch.hpp"

namespace voxelgrad {

constexpr int winograd_depth_taps = 3, winograd_depth_pair = 2, winograd_depth_products = 4;

// Slices of `size` floats, a multiple of 16, one after the other; pair p begins with slice 2p. Its
// four parts lie `stride` floats apart, those of one pair after those of the one before.
struct WinogradDepthKernels {
    // Four slices d of the source: d0 - d2, d1 + d2, d2 - d1, d1 - d3.
    void (*input)(const float* slices, std::int64_t size, std::int64_t pairs, float* parts,
                  std::int64_t stride);
    // Two slices y of the gradient: y0, y0 + y1, y0 - y1, -y1.
    void (*gradient)(const float* slices, std::int64_t size, std::int64_t pairs, float* parts,
                     std::int64_t stride);
    // Four products m -> two slices m0 + m1 + m2, m1 - m2 - m3.
    void (*output)(const float* parts, std::int64_t stride, std::int64_t size, std::int64_t pairs,
                   float* slices);
    // Three taps w of `stride` floats -> four: w0, (w0 + w1 + w2) / 2, (w0 - w1 + w2) / 2, w2.
    void (*weight)(float* taps, std::int64_t stride);
    // Four sums s of `stride` floats -> three: s0 + (s1 + s2) / 2, (s1 - s2) / 2, (s1 + s2) / 2 +
    // s3.
    void (*weight_gradient)(float* sums, std::int64_t stride);
};

VOXELGRAD_KERNEL_TABLE(WinogradDepthKernels, winograd_depth)

}  // namespace voxelgrad

// The transforms of Winograd's minimal filtering F(4x4, 3x3): Lavin and Gray, "Fast algorithms for
// convolutional neural networks", CVPR 2016, with the points 0, +-sqrt(1/2), +-sqrt(2) and
// infinity: their errors are less than half of those of the usual 0, +-1, +-2, and twice those of
// direct sums.
//
//     output tile = A^T [ (G weight G^T) . (B^T input tile B) ] A
//
// The gradient of the weight is the same bilinear form turned round: G^T [ (A grad A^T) . (B^T
// input B) ] G. Tiles are vectors over channels; the 36 frequencies of a tile lie `stride` floats
// apart.
#pragma once

#include <cstdint>

#include "kernels/dispatch.hpp"

namespace voxelgrad {

constexpr int winograd_tile = 4;   // output pixels on a side
constexpr int winograd_patch = 6;  // input pixels on a side
constexpr int winograd_kernel = 3;
constexpr int winograd_frequencies = 36;

struct WinogradKernels {
    // 6x6 pixels of 16 channels -> 36 frequencies of 16 channels: B^T x B.
    void (*input)(const float* pixels, std::int64_t row_stride, std::int64_t pixel_stride,
                  float* frequencies, std::int64_t stride);
    // 36 frequencies -> `rows` x `columns` pixels (at most 4x4) of `channels` channels: A^T m A.
    void (*output)(const float* frequencies, std::int64_t stride, const float* bias, float* pixels,
                   std::int64_t row_stride, std::int64_t pixel_stride, int rows, int columns,
                   int channels);
    // 9 taps of a panel of channels, side by side -> 36 frequencies: G w G^T.
    void (*weight)(const float* taps, float* frequencies, std::int64_t stride);
    // 4x4 pixels of a panel of channels, side by side -> 36 frequencies: A y A^T.
    void (*gradient)(const float* pixels, float* frequencies, std::int64_t stride);
    // 36 frequencies of a panel of channels -> 9 taps, side by side: G^T m G.
    void (*weight_gradient)(const float* frequencies, std::int64_t stride, float* taps);
};

VOXELGRAD_KERNEL_TABLE(WinogradKernels, winograd)

}  // namespace voxelgrad

// F(2, 3) or F(4, 3) over slices whose tiles are frequencies already: four or six products stand
// for the six or twelve of three taps in depth. The points of F(2, 3) are 0, +-1 and infinity;
// those of F(4, 3) are kernels/winograd.hpp's.
//
// A group is the slices of the target that are transformed together; its parts are what they, or
// the slices that they read, become. Each slice and each part holds `size` floats, a multiple
// of 16. Slices follow each other; the parts of a group lie `stride` floats apart, each after that
// of the group before.
#pragma once

#include <cstdint>

#include "kernels/dispatch.hpp"

namespace voxelgrad {

constexpr int winograd_depth_taps = 3;

struct WinogradDepthTransforms {
    // Slices of the source, of which neighbouring groups share two -> parts.
    void (*input)(const float* slices, std::int64_t size, std::int64_t groups, float* parts,
                  std::int64_t stride);
    // Slices of the target's gradient -> parts.
    void (*gradient)(const float* slices, std::int64_t size, std::int64_t groups, float* parts,
                     std::int64_t stride);
    // Parts of products -> slices of the target.
    void (*output)(const float* parts, std::int64_t stride, std::int64_t size, std::int64_t groups,
                   float* slices);
    // Three taps of `stride` floats -> parts, in place.
    void (*weight)(float* taps, std::int64_t stride);
    // Sums of `stride` floats, as many as parts -> three, in place.
    void (*weight_gradient)(float* sums, std::int64_t stride);
};

struct WinogradDepthKernels {
    WinogradDepthTransforms of_2, of_4;

    const WinogradDepthTransforms& of(int group) const { return group == 2 ? of_2 : of_4; }
};

VOXELGRAD_KERNEL_TABLE(WinogradDepthKernels, winograd_depth)

}  // namespace voxelgrad

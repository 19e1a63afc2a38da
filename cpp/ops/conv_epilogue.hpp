#pragma once

namespace voxelgrad {

// What is done to the sums of a convolution before they are written: a bias for each channel (null:
// none), then an activation, which multiplies negative numbers by `slope`: 1 is none, 0 is ReLU.
struct ConvEpilogue {
    const float* bias = nullptr;
    float slope = 1.0f;
};

}  // namespace voxelgrad

#pragma once

namespace voxelgrad {

class WrittenChunks;

// What is done to the sums of a convolution before they are written: a bias for each channel (null:
// none), then an activation, which multiplies negative numbers by `slope`: 1 is none, 0 is ReLU.
struct ConvEpilogue {
    const float* bias = nullptr;
    float slope = 1.0f;
    // Of the output, which somebody reads while it is written; null: nobody. An algorithm tells it
    // of what it leaves in the cache, or of nothing; one that writes elsewhere first must not pass
    // it on.
    WrittenChunks* written = nullptr;
};

}  // namespace voxelgrad

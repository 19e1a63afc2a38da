// Convolution with few target channels of small images: vectors run over the images of a batch.
//
// So a vector is full however small an image is, and taps that see only padding are left out pixel
// by pixel. Arrays of this kind hold one vector, or a few, of images for each number of an image.
#pragma once

#include <cstdint>

#include "kernels/dispatch.hpp"

namespace voxelgrad {

struct ImagesPixel {
    const float* strip;        // the first source number: [row][column and channel][image]
    const float* weight;       // [row][column and channel][target channel]
    std::int64_t rows, steps;  // of taps that are there; columns times channels
    std::int64_t strip_step, weight_step;  // floats from row to row
    const float* bias;
    float slope;  // of negative results
    int channels, vectors;
    float* output;  // [target channel][image]
};

struct ConvImagesKernels {
    int lanes;
    int (*most_vectors)(int channels);  // of images at once
    // Sums over rows, then columns, then channels, each in order.
    void (*pixel)(const ImagesPixel&);
    // `count` numbers of `images` images each, `stride` floats apart, to vectors: number i to
    // to + place[i]. Zeros for images beyond the last, up to whole vectors.
    void (*to_vectors)(const float* from, std::int64_t stride, std::int64_t images,
                       std::int64_t count, const std::int64_t* place, float* to);
    // And back; number i is at from + i * pitch.
    void (*from_vectors)(const float* from, std::int64_t pitch, std::int64_t count, float* to,
                         std::int64_t stride, std::int64_t images);
};

VOXELGRAD_KERNEL_TABLE(ConvImagesKernels, conv_images)

}  // namespace voxelgrad

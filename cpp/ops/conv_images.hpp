// Direct convolution of small images with few target channels, by vectors over the images of a
// batch.
#pragma once

#include "ops/conv_gather.hpp"
#include "ops/conv_pass.hpp"

namespace voxelgrad {

bool conv_images_serves(const Sides& sides);
void conv_images_pass(const Pass& pass, const GatherPhase& phase);

// The weight gradient: grad_weight = sum over pixels of fine x coarse.
bool conv_images_weight_serves(const ConvGeometry& geometry);
void conv_images_weight_gradient(const ConvGeometry& geometry, const float* fine,
                                 const float* coarse, float* grad_weight);

// A batch cut into groups of images, whole vectors but for the last group's end.
struct ImageGroups {
    std::int64_t batch, lanes, vectors, groups;

    std::int64_t size() const { return vectors * lanes; }
    std::int64_t first(std::int64_t group) const { return group * size(); }
    std::int64_t images(std::int64_t group) const {
        return std::min(size(), batch - group * size());
    }
};

// Even groups of at most `most_vectors` vectors.
ImageGroups image_groups(std::int64_t batch, std::int64_t most_vectors);

// Whether vectors over images are fuller than those over the pixels of a row.
bool images_fill_vectors(const ConvGeometry& geometry, std::int64_t columns);

}  // namespace voxelgrad

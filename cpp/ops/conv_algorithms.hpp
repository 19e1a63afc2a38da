// The algorithms behind the convolution ops. Each family is an ordered list: the first one that
// accepts the geometry runs; the naive one accepts everything and comes last.
//
// Arrays are raw pointers to (N, *spatial, groups * channels) data as ConvGeometry describes them.
// Every output element is written; sums run in an order that the geometry alone decides.
#pragma once

#include "ops/conv_geometry.hpp"

namespace voxelgrad {

struct ConvAlgorithm {
    const char* name;
    bool (*accepts)(const ConvGeometry&);     // can compute it
    bool (*worthwhile)(const ConvGeometry&);  // and should, when nobody asked by name
    void (*coarse_from_fine)(const ConvGeometry&, const float* fine, const float* weight,
                             const float* bias, float* coarse);
    void (*fine_from_coarse)(const ConvGeometry&, const float* coarse, const float* weight,
                             const float* bias, float* fine);
    void (*weight_gradient)(const ConvGeometry&, const float* fine, const float* coarse,
                            float* grad_weight);
};

extern const ConvAlgorithm conv_depthwise;  // one channel in, one out, per group
extern const ConvAlgorithm conv_winograd;   // 3x3 in the last two axes, stride 1: F(4x4, 3x3)
extern const ConvAlgorithm conv_direct;     // register blocks over a padded strip
extern const ConvAlgorithm conv_naive;      // plain loops

// The first algorithm that accepts; VOXELGRAD_CONV=<name> or force_conv_algorithm asks for one by
// name and fails where it does not accept.
const ConvAlgorithm& choose_conv_algorithm(const ConvGeometry& geometry);
void force_conv_algorithm(const char* name);  // "" lets the list decide again

}  // namespace voxelgrad

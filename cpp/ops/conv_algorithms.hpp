// The algorithms behind the convolution ops. Each family is an ordered list: the first one that
// accepts the geometry runs; the naive one accepts everything and comes last.
//
// Arrays are raw pointers to (N, *spatial, groups * channels) data as ConvGeometry describes them;
// images are of type T, weights, bias and their gradients are float. Every output element is
// written; sums run in an order that the geometry alone decides.
#pragma once

#include "core/bf16.hpp"
#include "ops/conv_epilogue.hpp"
#include "ops/conv_geometry.hpp"
#include "ops/conv_pieces.hpp"

namespace voxelgrad {

template <class T>
struct ConvAlgorithmFor {
    const char* name;
    bool (*accepts)(const ConvGeometry&);     // can compute it
    bool (*worthwhile)(const ConvGeometry&);  // and should, when nobody asked by name
    void (*coarse_from_fine)(const ConvGeometry&, const T* fine, const float* weight,
                             const ConvEpilogue&, T* coarse);
    void (*fine_from_coarse)(const ConvGeometry&, const T* coarse, const float* weight,
                             const ConvEpilogue&, T* fine);
    void (*weight_gradient)(const ConvGeometry&, const T* fine, const T* coarse,
                            float* grad_weight);

    // The same where the fine grid of a single group lies in pieces, each of which begins at a
    // multiple of `piece_block` channels; null: the algorithm wants them joined.
    void (*coarse_from_pieces)(const ConvGeometry&, ImagePieces<const T> fine, const float* weight,
                               const ConvEpilogue&, T* coarse) = nullptr;
    void (*pieces_from_coarse)(const ConvGeometry&, const T* coarse, const float* weight,
                               const ConvEpilogue&, ImagePieces<T> fine) = nullptr;
    void (*weight_gradient_of_pieces)(const ConvGeometry&, ImagePieces<const T> fine,
                                      const T* coarse, float* grad_weight) = nullptr;
    std::int64_t piece_block = 0;
};

using ConvAlgorithm = ConvAlgorithmFor<float>;

extern const ConvAlgorithm conv_depthwise;  // one channel in, one out, per group
extern const ConvAlgorithm conv_head;       // one tap, few channels out
extern const ConvAlgorithm conv_thin;       // few channels in, the weight gradient: F(3x3, 2x2)
extern const ConvAlgorithm conv_winograd;   // 3x3 in the last two axes, stride 1 or 2
// The same by F(4x4, 3x3), F(5x5, 3x3) and F(6x6, 3x3), only by name.
extern const ConvAlgorithm conv_winograd4, conv_winograd5, conv_winograd6;
extern const ConvAlgorithm conv_direct;  // register blocks over a padded strip
extern const ConvAlgorithm conv_naive;   // plain loops

// conv_winograd on bfloat16 images, whose frequencies are float.
extern const ConvAlgorithmFor<bf16> conv_winograd_bf16, conv_winograd4_bf16, conv_winograd5_bf16,
    conv_winograd6_bf16;
extern const ConvAlgorithmFor<bf16> conv_head_bf16, conv_thin_bf16;  // their sums are float
extern const ConvAlgorithmFor<bf16> conv_tile;     // blocks of 32 pixels x 32 channels
extern const ConvAlgorithmFor<bf16> conv_widened;  // the float algorithms on widened images

// The first algorithm that accepts; VOXELGRAD_CONV=<name> or force_conv_algorithm asks for one by
// name, among those for T that have it, and fails where it does not accept.
template <class T>
const ConvAlgorithmFor<T>& choose_conv_algorithm(const ConvGeometry& geometry);
void force_conv_algorithm(const char* name);  // "" lets the list decide again

}  // namespace voxelgrad

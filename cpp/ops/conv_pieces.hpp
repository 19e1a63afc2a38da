// Images whose channels lie in several arrays side by side, as if these were joined: what a skip
// connection and the features from below are to the convolution that reads both.
#pragma once

#include <algorithm>
#include <span>

#include "ops/conv_pass.hpp"
#include "ops/pieces.hpp"

namespace voxelgrad {

// In the order of their channels; a row is a pixel.
template <class T>
using ImagePieces = std::span<const Piece<T>>;

// An image that lies in one array.
template <class T>
Piece<T> whole_image(T* data, std::int64_t channels) {
    return {{data, channels}, 0, channels};
}

// The piece that holds a channel.
template <class T>
const Piece<T>& piece_with(ImagePieces<T> pieces, std::int64_t channel) {
    return *std::find_if(pieces.begin(), pieces.end(),
                         [&](const Piece<T>& piece) { return channel < piece.end; });
}

// A pass between images in pieces.
template <class T>
struct PiecewisePass : Sides {
    ImagePieces<const T> sources;
    const float* weight;
    ConvEpilogue epilogue;
    ImagePieces<T> targets;
};

}  // namespace voxelgrad

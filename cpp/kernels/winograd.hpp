// The transforms of Winograd's minimal filtering F(m x m, 3x3), m = 4, 5 or 6, and F(6x6, 2x2):
// Lavin and Gray, "Fast algorithms for convolutional neural networks", CVPR 2016. The points of
// m = 4 are 0, +-sqrt(1/2), +-sqrt(2) and infinity: their errors are less than half of those of the
// usual 0, +-1, +-2, and twice those of direct sums. Those of m = 6 are 0, +-1/2, +-1, +-2 and
// infinity, with errors about eight times those of direct sums and four fifths of the
// multiplications. m = 5 has the same without infinity, for images that tiles of 5 pixels cover
// with less; so has F(6x6, 2x2), for the phases of a convolution with stride 2.
//
//     output tile = A^T [ (G weight G^T) . (B^T input tile B) ] A
//
// The gradient of the weight is the same bilinear form turned round: G^T [ (A grad A^T) . (B^T
// input B) ] G. Tiles are vectors over channels; the frequencies of a tile lie `stride` floats
// apart, and blocks of 16 channels `block_stride` floats.
#pragma once

#include <cstdint>

#include "kernels/dispatch.hpp"
#include "kernels/winograd_depth.hpp"

namespace voxelgrad {

constexpr int winograd_kernel = 3;

// F(tile x tile, taps x taps), and F(group, 3) in depth.
struct WinogradForm {
    int tile;   // output pixels on a side
    int group;  // slices that are transformed together (kernels/winograd_depth.hpp), or 1
    int taps = winograd_kernel;  // on a side

    constexpr bool deep() const { return group > 1; }

    constexpr int patch() const { return tile + taps - 1; }  // input pixels on a side
    constexpr int frequencies() const { return patch() * patch(); }
    constexpr int plane() const { return taps * taps; }
    // Parts of the weight in depth: its taps or their transforms.
    constexpr std::int64_t depth_parts(std::int64_t depth_taps) const {
        return deep() ? group + winograd_depth_taps - 1 : depth_taps;
    }
};

// Where the frequencies of a tile go.
struct WinogradFrequencies {
    float* data;
    std::int64_t stride, block_stride;
    bool past_cache;  // aligned to 64 bytes, and not read again soon; ends with fence()
};

// The pixels of a tile; those beyond the given rows and columns lie outside the image and are zero.
template <class T>
struct WinogradPatch {
    const T* pixels;  // of row 0, column 0
    std::int64_t row_stride, pixel_stride, channels;
    int first_row, last_row, first_column, last_column;
};

// The pixels that an output tile is written to.
template <class T>
struct WinogradPixels {
    T* pixels;
    std::int64_t row_stride, pixel_stride;
    int rows, columns;  // at most a tile; the rest of the tile lies outside the image
    int channels;
    float slope;      // of negative results: they are multiplied by it
    bool past_cache;  // whole cache lines, where they are aligned; the last tile is followed by
                      // fence()
};

// The transforms of one form. T: the type of the images; frequencies are float.
template <class T>
struct WinogradImageTransforms {
    // A patch of pixels -> frequencies: B^T x B. The last vector is filled up with zeros.
    void (*input)(const WinogradPatch<T>& patch, const WinogradFrequencies& to);
    // A tile of pixels -> frequencies: A y A^T. The last vector is filled up with zeros.
    void (*gradient)(const WinogradPatch<T>& patch, const WinogradFrequencies& to);
    // Frequencies -> a tile of pixels plus bias, A^T m A + bias, and the slope.
    void (*output)(const float* frequencies, std::int64_t stride, const float* bias,
                   const WinogradPixels<T>& to);
};

struct WinogradWeightTransforms {
    // The taps of a panel of channels, `tap_stride` floats apart -> frequencies: G w G^T. Past the
    // cache where vectors are whole cache lines, aligned to 64 bytes; ends with fence().
    void (*weight)(const float* taps, std::int64_t tap_stride, float* frequencies,
                   std::int64_t stride);
    // Frequencies of up to a panel of channels -> taps: G^T m G.
    void (*weight_gradient)(const float* frequencies, std::int64_t stride, float* const* taps,
                            int channels);
};

template <class Transforms>
struct WinogradForms {
    Transforms of_4, of_5, of_6, of_two_taps;

    const Transforms& of(WinogradForm form) const {
        if (form.taps == 2) return of_two_taps;
        return form.tile == 4 ? of_4 : form.tile == 5 ? of_5 : of_6;
    }
};
template <class T>
using WinogradImageKernels = WinogradForms<WinogradImageTransforms<T>>;

struct WinogradKernels {
    WinogradForms<WinogradWeightTransforms> weights;
    // After the last store past the cache, before another thread may read.
    void (*fence)();
};

VOXELGRAD_KERNEL_TABLE(WinogradKernels, winograd)
VOXELGRAD_TYPED_KERNEL_TABLES(WinogradImageKernels, winograd_image)

}  // namespace voxelgrad

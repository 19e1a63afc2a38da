// What the Winograd passes share: tiles cut into blocks, and the transforms into frequencies.
//
// A kernel of (depth, 3, 3) is transformed in its last two axes. So a block holds the tiles of
// several slices, slice after slice. Three taps in depth are transformed, too, for groups of slices
// (kernels/winograd_depth.hpp), one frequency at a time in the first cache; any other number is
// summed among the frequencies, where a tap is a shift by the tiles of one slice.
#pragma once

#include <algorithm>

#include "core/kept_weight.hpp"
#include "kernels/winograd.hpp"
#include "ops/conv_winograd_pass.hpp"

namespace voxelgrad {

// Floats of a workspace that lies on huge pages: each frequency is a stream, and they are more than
// small pages have entries for.
constexpr std::int64_t huge_block = 1 << 18;

struct TileBlock {
    std::int64_t first, tiles;   // of each slice
    std::int64_t depth, slices;  // first target slice; target slices
    std::int64_t sources;        // source slices
    std::int64_t groups;         // of target slices, the last of which may lack some
    std::int64_t padded_slices;  // of all groups

    std::int64_t target_tiles() const { return tiles * slices; }
    std::int64_t padded_tiles() const { return tiles * padded_slices; }
    std::int64_t source_tiles() const { return tiles * sources; }
};

struct WinogradTiles {
    WinogradForm form;
    std::int64_t rows, columns;       // of an image
    std::int64_t count;               // of all images, in one slice
    std::int64_t slices, depth_taps;  // target slices; taps of the kernel in depth
    std::int64_t block, depth;        // tiles and target slices of the largest block
    std::int64_t blocks, depth_blocks;

    std::int64_t units() const { return blocks * depth_blocks; }
    TileBlock at(std::int64_t unit) const;
    TileBlock largest() const { return at(0); }
    std::int64_t depth_parts() const { return form.depth_parts(depth_taps); }
};

constexpr WinogradForm form_of_stride_two{6, 1, 2};

// The form of `tile` pixels, or with 0 of the number that costs less: work and bytes go with the
// products of `images` images, and for each part of the weight `overhead` more. The small form,
// whose errors are smaller, unless it costs a ninth more; for float images a larger one only where
// there is much to save. With stride 2 there is one form.
template <class T>
WinogradForm choose_form(int tile, const WinogradSides& sides, std::int64_t images,
                         std::int64_t overhead);

// Cuts the tiles of `pass` into even blocks of at most `most_slices` target slices and about
// `most_tiles` source tiles.
WinogradTiles cut_tiles(WinogradForm form, const WinogradSides& pass, std::int64_t most_slices,
                        std::int64_t most_tiles);

// Where a tile lies: image and the index of its first target pixel.
struct TilePlace {
    std::int64_t image, row, column;
};
TilePlace place_of(const WinogradTiles& tiles, std::int64_t tile);

// Tells of the pixels of target tiles [first, first + count) of a block, `channels` channels of
// which are written. extent: of the target's images, which are in one piece.
void tell_of_tiles(WrittenChunks& written, const WinogradTiles& tiles, const TileBlock& block,
                   const std::int64_t* extent, std::int64_t channels, std::int64_t first,
                   std::int64_t count);

// Floats between frequencies that hold `size` each: an odd number of cache lines, since the
// frequencies of a tile must not fall on the same cache sets.
std::int64_t frequency_stride(std::int64_t size);

// The frequencies of `tiles` tiles at `data`: [frequency][channel block][tile][16].
WinogradFrequencies frequencies_at(float* data, std::int64_t tiles, std::int64_t channels);
std::int64_t frequencies_size(WinogradForm form, std::int64_t tiles, std::int64_t channels);

// Transforms source tiles [begin, end) of a block.
template <class T>
void transform_source(const WinogradPass<T>& pass, const WinogradTiles& tiles,
                      const TileBlock& block, std::int64_t begin, std::int64_t end,
                      const WinogradFrequencies& to);
// Transforms tiles [begin, end) of a block of the target's gradient.
template <class T>
void transform_gradient(const WinogradGrid<const T>& gradient, const WinogradTiles& tiles,
                        const TileBlock& block, std::int64_t begin, std::int64_t end,
                        const WinogradFrequencies& to);

// The weight in frequencies, by panels of target channels.
class WinogradWeight {
 public:
    WinogradWeight(WinogradForm form, const WinogradSides& sides, const float* weight);

    std::int64_t panels() const { return panels_; }
    std::int64_t stride() const { return stride_; }
    // [depth part][source channel][panel]; nothing is written where no tap ties the two channels.
    const float* at(std::int64_t panel, std::int64_t frequency) const {
        return data_.data() + (panel * form_.frequencies() + frequency) * stride_;
    }

 private:
    void transform(const WinogradSides& sides, const float* weight, std::int64_t panel,
                   std::int64_t start, float* data) const;

    WinogradForm form_;
    std::int64_t depth_parts_, panels_, stride_;
    PackedWeight<float> data_;
};

bool winograd_accepts(const ConvGeometry& geometry);             // stride 1
bool winograd_accepts_stride_two(const ConvGeometry& geometry);  // whose phases are whole panels
// tile: of the form; 0: the one that costs least.
template <class T, int tile>
void conv_winograd_weight_gradient(const ConvGeometry& geometry, const T* fine, const T* coarse,
                                   float* grad_weight);
template <class T, int tile>
void conv_winograd_weight_gradient_of_pieces(const ConvGeometry& geometry,
                                             ImagePieces<const T> fine, const T* coarse,
                                             float* grad_weight);

}  // namespace voxelgrad

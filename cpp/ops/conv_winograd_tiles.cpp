#include <algorithm>
#include <type_traits>

#include "core/split.hpp"
#include "kernels/conv_direct.hpp"
#include "ops/conv_winograd.hpp"

namespace voxelgrad {
namespace {

// Products of a tap and an image. Smaller float convolutions cost little, and what the large form
// saves of it is not worth its errors.
constexpr std::int64_t work_for_large = 1 << 24;

// How a patch of pixels becomes frequencies.
template <class T>
struct PatchTransform {
    decltype(WinogradImageTransforms<T>::input) kernel;
    int size;                    // of the patch, pixels on a side
    const std::int64_t* extent;  // of the grid
    std::int64_t channels;

    // The patch at (row, column) of a slice, which may lie partly outside.
    void apply(const T* slice, std::int64_t row, std::int64_t column,
               const WinogradFrequencies& to) const {
        const auto first = [](std::int64_t at) {
            return static_cast<int>(std::max<std::int64_t>(0, -at));
        };
        const auto last = [&](std::int64_t at, std::int64_t end) {
            return static_cast<int>(std::min<std::int64_t>(size, end - at));
        };
        kernel({slice + (row * extent[2] + column) * channels, extent[2] * channels, channels,
                channels, first(row), last(row, extent[1]), first(column), last(column, extent[2])},
               to);
    }
};

void clear_tile(WinogradForm form, const WinogradFrequencies& tile, std::int64_t channels) {
    for (int f = 0; f < form.frequencies(); ++f)
        for (std::int64_t b = 0; b < divide_up(channels, strip_block); ++b)
            std::fill_n(tile.data + f * tile.stride + b * tile.block_stride, strip_block, 0.0f);
}

// Transforms tiles [begin, end) of a block whose first pixels lie `low` from the target's.
template <class T>
void transform_tiles(const PatchTransform<T>& transform, const T* data, const std::int64_t* low,
                     const WinogradTiles& tiles, const TileBlock& block, std::int64_t begin,
                     std::int64_t end, const WinogradFrequencies& to) {
    const std::int64_t* extent = transform.extent;
    for (std::int64_t at = begin; at < end; ++at) {
        const TilePlace place = place_of(tiles, block.first + at % block.tiles);
        const std::int64_t depth = block.depth + at / block.tiles + low[0];
        WinogradFrequencies tile = to;
        tile.data += at * strip_block;
        if (depth < 0 || depth >= extent[0]) {
            clear_tile(tiles.form, tile, transform.channels);
            continue;
        }
        const T* slice =
            data + (place.image * extent[0] + depth) * extent[1] * extent[2] * transform.channels;
        transform.apply(slice, place.row + low[1], place.column + low[2], tile);
    }
    if (to.past_cache) winograd_kernels().fence();
}

}  // namespace

TileBlock WinogradTiles::at(std::int64_t unit) const {
    TileBlock at{};
    at.first = unit % blocks * block;
    at.tiles = std::min(block, count - at.first);
    at.depth = unit / blocks * depth;
    at.slices = std::min(depth, slices - at.depth);
    at.groups = divide_up(at.slices, form.group);
    at.padded_slices = at.groups * form.group;
    at.sources = at.padded_slices + depth_taps - 1;
    return at;
}

template <class T>
WinogradForm choose_form(int tile, const Sides& sides, const GatherPhase& phase,
                         std::int64_t images, std::int64_t overhead) {
    const std::int64_t taps = phase.high[0] - phase.low[0] + 1, slices = phase.count[0];
    const auto cost = [&](WinogradForm form) {
        const std::int64_t tiles =
            divide_up(phase.count[1], form.tile) * divide_up(phase.count[2], form.tile) * images;
        return form.depth_parts(taps) * form.frequencies() *
               (tiles * divide_up(slices, form.group) + overhead);
    };
    const auto cheaper = [&](int side) {
        WinogradForm best{side, 1};
        for (const int group : {2, 4})
            if (const WinogradForm deep{side, group};
                taps == winograd_depth_taps && cost(deep) < cost(best))
                best = deep;
        return best;
    };
    if (tile != 0) return cheaper(tile);
    const WinogradForm small = cheaper(4), medium = cheaper(5), largest = cheaper(6);
    const WinogradForm large = cost(medium) < cost(largest) ? medium : largest;
    const std::int64_t work = phase.count[0] * phase.count[1] * phase.count[2] *
                              sides.source.channels * sides.target.channels;
    const bool wanted = !std::is_same_v<T, float> || work >= work_for_large;
    return wanted && 10 * cost(large) < 9 * cost(small) ? large : small;
}
template WinogradForm choose_form<float>(int, const Sides&, const GatherPhase&, std::int64_t,
                                         std::int64_t);
template WinogradForm choose_form<bf16>(int, const Sides&, const GatherPhase&, std::int64_t,
                                        std::int64_t);

WinogradTiles cut_tiles(WinogradForm form, const GatherPhase& phase, std::int64_t batch,
                        std::int64_t most_slices, std::int64_t most_tiles) {
    WinogradTiles tiles{};
    tiles.form = form;
    tiles.rows = divide_up(phase.count[1], form.tile);
    tiles.columns = divide_up(phase.count[2], form.tile);
    tiles.count = batch * tiles.rows * tiles.columns;
    tiles.slices = phase.count[0];
    tiles.depth_taps = phase.high[0] - phase.low[0] + 1;
    tiles.depth = divide_up(even_part(tiles.slices, most_slices), form.group) * form.group;
    tiles.depth_blocks = divide_up(tiles.slices, tiles.depth);
    const std::int64_t source_slices = tiles.depth + tiles.depth_taps - 1;
    tiles.block = even_part(tiles.count, std::max<std::int64_t>(1, most_tiles / source_slices));
    tiles.blocks = divide_up(tiles.count, tiles.block);
    return tiles;
}

TilePlace place_of(const WinogradTiles& tiles, std::int64_t tile) {
    const std::int64_t in_image = tile % (tiles.rows * tiles.columns);
    return {tile / (tiles.rows * tiles.columns), in_image / tiles.columns * tiles.form.tile,
            in_image % tiles.columns * tiles.form.tile};
}

std::int64_t frequency_stride(std::int64_t size) {
    return divide_up(size, 2 * strip_block) * 2 * strip_block + strip_block;
}

WinogradFrequencies frequencies_at(float* data, std::int64_t tiles, std::int64_t channels) {
    const std::int64_t block_stride = tiles * strip_block;
    return {data, frequency_stride(divide_up(channels, strip_block) * block_stride), block_stride,
            false};
}

std::int64_t frequencies_size(WinogradForm form, std::int64_t tiles, std::int64_t channels) {
    return form.frequencies() * frequencies_at(nullptr, tiles, channels).stride;
}

template <class T>
void transform_source(const PiecewisePass<T>& pass, const GatherPhase& phase,
                      const WinogradTiles& tiles, const TileBlock& block, std::int64_t begin,
                      std::int64_t end, const WinogradFrequencies& to) {
    for (const Piece<const T>& piece : pass.sources) {
        const PatchTransform<T> transform{winograd_image_kernels<T>().of(tiles.form).input,
                                          tiles.form.patch(), pass.source.extent, piece.rows.pitch};
        WinogradFrequencies part = to;
        part.data += piece.begin / strip_block * to.block_stride;
        transform_tiles(transform, piece.rows.data, phase.low, tiles, block, begin, end, part);
    }
}

template <class T>
void transform_gradient(const Side& target, const T* gradient, const WinogradTiles& tiles,
                        const TileBlock& block, std::int64_t begin, std::int64_t end,
                        const WinogradFrequencies& to) {
    const std::int64_t low[conv_axes] = {0, 0, 0};
    const PatchTransform<T> transform{winograd_image_kernels<T>().of(tiles.form).gradient,
                                      tiles.form.tile, target.extent, target.channels};
    transform_tiles(transform, gradient, low, tiles, block, begin, end, to);
}

#define VOXELGRAD_TRANSFORMS(T)                                                          \
    template void transform_source(const PiecewisePass<T>&, const GatherPhase&,          \
                                   const WinogradTiles&, const TileBlock&, std::int64_t, \
                                   std::int64_t, const WinogradFrequencies&);            \
    template void transform_gradient(const Side&, const T*, const WinogradTiles&,        \
                                     const TileBlock&, std::int64_t, std::int64_t,       \
                                     const WinogradFrequencies&);
VOXELGRAD_TRANSFORMS(float)
VOXELGRAD_TRANSFORMS(bf16)

bool winograd_accepts(const ConvGeometry& g) {
    const bool empty = g.fine_pixels() == 0 || g.coarse_pixels() == 0;
    bool fits = !empty && g.groups == 1 && g.stride[0] == 1 && g.dilation[0] == 1;
    for (int axis = 1; axis < conv_axes; ++axis)
        fits = fits && g.kernel[axis] == winograd_kernel && g.stride[axis] == 1 &&
               g.dilation[axis] == 1;
    return fits;
}

}  // namespace voxelgrad

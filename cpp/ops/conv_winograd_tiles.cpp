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

void clear_tile(WinogradForm form, const WinogradFrequencies& tile, std::int64_t channels) {
    for (int f = 0; f < form.frequencies(); ++f)
        for (std::int64_t b = 0; b < divide_up(channels, strip_block); ++b)
            std::fill_n(tile.data + f * tile.stride + b * tile.block_stride, strip_block, 0.0f);
}

// How patches of a grid become frequencies. `low`: of the offsets between patch and target.
template <class T>
struct PatchTransform {
    decltype(WinogradImageTransforms<T>::input) kernel;
    int size;  // of the patch, pixels on a side
    const WinogradGrid<const T>& grid;
    const std::int64_t* low;

    // Transforms tiles [begin, end) of a block.
    void apply(const WinogradTiles& tiles, const TileBlock& block, std::int64_t begin,
               std::int64_t end, const WinogradFrequencies& to) const {
        const std::int64_t channels = grid.end - grid.begin;
        for (std::int64_t at = begin; at < end; ++at) {
            const TilePlace place = place_of(tiles, block.first + at % block.tiles);
            const std::int64_t depth = block.depth + at / block.tiles + low[0];
            WinogradFrequencies tile = to;
            tile.data += at * strip_block;
            if (depth < 0 || depth >= grid.extent[0])
                clear_tile(tiles.form, tile, channels);
            else
                kernel(patch_at(place, depth, channels), tile);
        }
        if (to.past_cache) winograd_kernels().fence();
    }

    // It may lie partly outside the image.
    WinogradPatch<T> patch_at(const TilePlace& place, std::int64_t depth,
                              std::int64_t channels) const {
        const auto first = [](std::int64_t at) {
            return static_cast<int>(std::max<std::int64_t>(0, -at));
        };
        const auto last = [&](std::int64_t at, std::int64_t end) {
            return static_cast<int>(std::min<std::int64_t>(size, end - at));
        };
        const std::int64_t row = place.row + low[1], column = place.column + low[2];
        return {grid.data + place.image * grid.image_step + depth * grid.step[0] +
                    row * grid.step[1] + column * grid.step[2],
                grid.step[1],
                grid.step[2],
                channels,
                first(row),
                last(row, grid.extent[1]),
                first(column),
                last(column, grid.extent[2])};
    }
};

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
WinogradForm choose_form(int tile, const WinogradSides& sides, std::int64_t images,
                         std::int64_t overhead) {
    if (sides.geometry.stride[2] == 2) return form_of_stride_two;
    const std::int64_t* count = sides.whole.count;
    const auto cost = [&](WinogradForm form) {
        const std::int64_t tiles =
            divide_up(count[1], form.tile) * divide_up(count[2], form.tile) * images;
        return form.depth_parts(sides.depth_taps()) * form.frequencies() *
               (tiles * divide_up(count[0], form.group) + overhead);
    };
    const auto cheaper = [&](int side) {
        WinogradForm best{side, 1};
        for (const int group : {2, 4})
            if (const WinogradForm deep{side, group};
                sides.depth_taps() == winograd_depth_taps && cost(deep) < cost(best))
                best = deep;
        return best;
    };
    if (tile != 0) return cheaper(tile);
    const WinogradForm small = cheaper(4), medium = cheaper(5), largest = cheaper(6);
    const WinogradForm large = cost(medium) < cost(largest) ? medium : largest;
    const std::int64_t work =
        count[0] * count[1] * count[2] * sides.source_channels() * sides.target_channels();
    const bool wanted = !std::is_same_v<T, float> || work >= work_for_large;
    return wanted && 10 * cost(large) < 9 * cost(small) ? large : small;
}
template WinogradForm choose_form<float>(int, const WinogradSides&, std::int64_t, std::int64_t);
template WinogradForm choose_form<bf16>(int, const WinogradSides&, std::int64_t, std::int64_t);

WinogradTiles cut_tiles(WinogradForm form, const WinogradSides& pass, std::int64_t most_slices,
                        std::int64_t most_tiles) {
    const std::int64_t* count = pass.whole.count;
    WinogradTiles tiles{};
    tiles.form = form;
    tiles.rows = divide_up(count[1], form.tile);
    tiles.columns = divide_up(count[2], form.tile);
    tiles.count = pass.geometry.batch * tiles.rows * tiles.columns;
    tiles.slices = count[0];
    tiles.depth_taps = pass.depth_taps();
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
void transform_source(const WinogradPass<T>& pass, const WinogradTiles& tiles,
                      const TileBlock& block, std::int64_t begin, std::int64_t end,
                      const WinogradFrequencies& to) {
    const auto kernel = winograd_image_kernels<T>().of(tiles.form).input;
    for (const WinogradGrid<const T>& grid : pass.sources) {
        WinogradFrequencies part = to;
        part.data += grid.begin / strip_block * to.block_stride;
        PatchTransform<T>{kernel, tiles.form.patch(), grid, pass.whole.low}.apply(tiles, block,
                                                                                  begin, end, part);
    }
}

template <class T>
void transform_gradient(const WinogradGrid<const T>& gradient, const WinogradTiles& tiles,
                        const TileBlock& block, std::int64_t begin, std::int64_t end,
                        const WinogradFrequencies& to) {
    const std::int64_t low[conv_axes] = {0, 0, 0};
    const auto kernel = winograd_image_kernels<T>().of(tiles.form).gradient;
    PatchTransform<T>{kernel, tiles.form.tile, gradient, low}.apply(tiles, block, begin, end, to);
}

#define VOXELGRAD_TRANSFORMS(T)                                                                    \
    template void transform_source(const WinogradPass<T>&, const WinogradTiles&, const TileBlock&, \
                                   std::int64_t, std::int64_t, const WinogradFrequencies&);        \
    template void transform_gradient(const WinogradGrid<const T>&, const WinogradTiles&,           \
                                     const TileBlock&, std::int64_t, std::int64_t,                 \
                                     const WinogradFrequencies&);
VOXELGRAD_TRANSFORMS(float)
VOXELGRAD_TRANSFORMS(bf16)

namespace {

bool accepts_stride(const ConvGeometry& g, std::int64_t stride) {
    bool fits = g.fine_pixels() > 0 && g.coarse_pixels() > 0 && g.groups == 1 && g.dilation[0] == 1;
    for (int axis = 1; axis < conv_axes; ++axis)
        fits = fits && g.kernel[axis] == winograd_kernel && g.stride[axis] == stride &&
               g.dilation[axis] == 1;
    return fits;
}

}  // namespace

bool winograd_accepts(const ConvGeometry& g) { return accepts_stride(g, 1) && g.stride[0] == 1; }

bool winograd_accepts_stride_two(const ConvGeometry& g) {
    constexpr std::int64_t widest_panel = 32;
    bool fits = g.stride[0] == 1 || (g.stride[0] == 2 && g.kernel[0] == winograd_kernel);
    for (int axis = 0; axis < conv_axes; ++axis)  // else a phase, and its taps, are missing
        fits = fits && g.fine[axis] >= g.stride[axis];
    return accepts_stride(g, 2) && fits && g.fine_channels % widest_panel == 0;
}

}  // namespace voxelgrad

#include <algorithm>

#include "core/parallel_for.hpp"
#include "core/split.hpp"
#include "kernels/conv_direct.hpp"
#include "kernels/winograd.hpp"
#include "ops/conv_winograd.hpp"

namespace voxelgrad {
namespace {

constexpr std::int64_t budget = 192 * 1024;  // floats of a block's frequencies: 768 KiB
constexpr std::int64_t largest_block = 56;
constexpr std::int64_t deepest_block = 8;

// Copies the 6x6 patch at (row, column), 16 channels, with zeros where it leaves the image.
void copy_patch(const float* slice, const std::int64_t* extent, std::int64_t pixel_stride,
                std::int64_t row, std::int64_t column, std::int64_t channels, float* patch) {
    std::fill_n(patch, winograd_frequencies * strip_block, 0.0f);
    const std::int64_t last_row = std::min<std::int64_t>(winograd_patch, extent[1] - row);
    const std::int64_t last_column = std::min<std::int64_t>(winograd_patch, extent[2] - column);
    for (std::int64_t r = std::max<std::int64_t>(0, -row); r < last_row; ++r)
        for (std::int64_t c = std::max<std::int64_t>(0, -column); c < last_column; ++c)
            std::copy_n(slice + ((row + r) * extent[2] + column + c) * pixel_stride, channels,
                        patch + (r * winograd_patch + c) * strip_block);
}

// Transforms tiles [first, first + count) for the depth block that starts at target slice `depth`.
void transform_source(const Pass& pass, const GatherPhase& phase, const WinogradTiles& tiles,
                      std::int64_t first, std::int64_t count, std::int64_t depth,
                      float* frequencies) {
    const std::int64_t all = pass.source.channels, stride = tiles.frequency_size(all);
    const std::int64_t* extent = pass.source.extent;
    const auto kernel = winograd_kernels().input;
    alignas(64) float patch[winograd_frequencies * strip_block];
    for (std::int64_t start = 0; start < all; start += strip_block) {
        const std::int64_t channels = std::min(strip_block, all - start);
        for (std::int64_t at = 0; at < tiles.slices * count; ++at) {
            const std::int64_t slice = at / count, tile = at % count;
            float* out =
                frequencies +
                ((start / strip_block * tiles.slices + slice) * tiles.block + tile) * strip_block;
            const TilePlace place = place_of(tiles, first + tile);
            const std::int64_t d = depth + slice + phase.low[0];
            const std::int64_t row = place.row + phase.low[1], column = place.column + phase.low[2];
            if (d < 0 || d >= extent[0]) {
                for (int f = 0; f < winograd_frequencies; ++f)
                    std::fill_n(out + f * stride, strip_block, 0.0f);
                continue;
            }
            const float* source = pass.source_data +
                                  (place.image * extent[0] + d) * extent[1] * extent[2] * all +
                                  start;
            const bool whole = channels == strip_block && row >= 0 && column >= 0 &&
                               row + winograd_patch <= extent[1] &&
                               column + winograd_patch <= extent[2];
            if (whole) {
                kernel(source + (row * extent[2] + column) * all, extent[2] * all, all, out,
                       stride);
            } else {
                copy_patch(source, extent, all, row, column, channels, patch);
                kernel(patch, winograd_patch * strip_block, strip_block, out, stride);
            }
        }
    }
}

}  // namespace

std::int64_t WinogradTiles::frequency_size(std::int64_t channels) const {
    // An odd number of cache lines: the 36 frequencies of a tile must not fall on the same cache
    // sets.
    return divide_up(channels, strip_block) * slices * block * strip_block / 32 * 32 + strip_block;
}

WinogradTiles plan_tiles(const GatherPhase& phase, std::int64_t batch, std::int64_t channels,
                         std::int64_t smallest) {
    WinogradTiles tiles{};
    tiles.rows = divide_up(phase.count[1], winograd_tile);
    tiles.columns = divide_up(phase.count[2], winograd_tile);
    tiles.count = batch * tiles.rows * tiles.columns;
    tiles.depth_taps = phase.high[0] - phase.low[0] + 1;
    tiles.depth = tiles.depth_taps == 1 ? 1 : even_part(phase.count[0], deepest_block);
    tiles.depth_blocks = divide_up(phase.count[0], tiles.depth);
    tiles.slices = tiles.depth + tiles.depth_taps - 1;
    const std::int64_t per_tile =
        winograd_frequencies * strip_block * tiles.slices * divide_up(channels, strip_block);
    const std::int64_t wanted = std::max(std::min(budget / per_tile, largest_block), smallest);
    tiles.block = even_part(tiles.count, wanted);
    tiles.blocks = divide_up(tiles.count, tiles.block);
    return tiles;
}

TilePlace place_of(const WinogradTiles& tiles, std::int64_t tile) {
    const std::int64_t in_image = tile % (tiles.rows * tiles.columns);
    return {tile / (tiles.rows * tiles.columns), in_image / tiles.columns * winograd_tile,
            in_image % tiles.columns * winograd_tile};
}

SharedSource::SharedSource(const Pass& pass, const GatherPhase& phase, const WinogradTiles& tiles,
                           bool wanted)
    : pass_(pass),
      phase_(phase),
      tiles_(tiles),
      wanted_(wanted),
      block_size_(winograd_frequencies * tiles.frequency_size(pass.source.channels)),
      shared_(wanted ? tiles.blocks * tiles.depth_blocks * block_size_ : 1) {
    if (!wanted) return;
    parallel_for(tiles.blocks * tiles.depth_blocks,
                 [&](std::int64_t unit) { transform(unit, shared_.data() + unit * block_size_); });
}

void SharedSource::transform(std::int64_t unit, float* frequencies) const {
    const std::int64_t first = unit % tiles_.blocks * tiles_.block;
    const std::int64_t count = std::min(tiles_.block, tiles_.count - first);
    const std::int64_t depth = unit / tiles_.blocks * tiles_.depth;
    transform_source(pass_, phase_, tiles_, first, count, depth, frequencies);
}

const float* SharedSource::block(std::int64_t unit, float* own) const {
    if (wanted_) return shared_.data() + unit * block_size_;
    transform(unit, own);
    return own;
}

bool winograd_accepts(const ConvGeometry& g) {
    bool fits =
        g.groups == 1 && g.stride[0] == 1 && g.dilation[0] == 1 && g.kernel[0] <= most_depth_taps;
    for (int axis = 1; axis < conv_axes; ++axis)
        fits = fits && g.kernel[axis] == winograd_kernel && g.stride[axis] == 1 &&
               g.dilation[axis] == 1;
    return fits;
}

}  // namespace voxelgrad

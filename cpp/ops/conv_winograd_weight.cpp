// The weight gradient in Winograd's frequencies: tiles of both sides are transformed, multiplied
// and summed over all tiles; only the sums are transformed back.
//
// Blocks of tiles are dealt to chunks that the geometry alone decides; each chunk sums into a
// partial gradient of its own, and these are added in the order of the chunks.
#include <algorithm>

#include "core/parallel_for.hpp"
#include "core/pool.hpp"
#include "kernels/conv_weight.hpp"
#include "kernels/winograd.hpp"
#include "ops/conv_winograd.hpp"

namespace voxelgrad {
namespace {

constexpr std::int64_t enough_tasks = 16;
constexpr std::int64_t partial_budget = std::int64_t{10} << 20;  // floats of all partial gradients
constexpr std::int64_t smallest_block = 128;  // tiles: the sums are read and written once a block

struct Plan {
    const Pass& pass;
    const GatherPhase& phase;
    const float* coarse;
    WinogradTiles tiles;
    std::int64_t width, panels, blocks;  // of the coarse channels; channel blocks of the fine ones
    std::int64_t block_size;             // floats of (channel block, depth tap): 16 x width
    std::int64_t frequency_size;         // floats of one frequency of one panel's gradient
    std::int64_t units, chunks;

    std::int64_t panel_size() const { return winograd_frequencies * frequency_size; }
};

// Transforms the coarse tiles of one slice and panel: [frequency][tile][width].
void transform_coarse(const Plan& plan, std::int64_t first, std::int64_t count, std::int64_t depth,
                      std::int64_t panel, std::int64_t stride, float* frequencies) {
    const std::int64_t all = plan.pass.target.channels, channel = panel * plan.width;
    const int channels = static_cast<int>(std::min(plan.width, all - channel));
    const std::int64_t* extent = plan.pass.target.extent;
    Workspace<float> tile_pixels(winograd_tile * winograd_tile * plan.width);
    for (std::int64_t tile = 0; tile < count; ++tile) {
        const TilePlace place = place_of(plan.tiles, first + tile);
        const std::int64_t columns =
            std::min<std::int64_t>(winograd_tile, extent[2] - place.column);
        std::fill_n(tile_pixels.data(), winograd_tile * winograd_tile * plan.width, 0.0f);
        for (std::int64_t row = 0; row < winograd_tile && place.row + row < extent[1]; ++row) {
            const std::int64_t pixel =
                ((place.image * extent[0] + depth) * extent[1] + place.row + row) * extent[2] +
                place.column;
            conv_weight_kernels().pack(plan.coarse + pixel * all + channel, all,
                                       tile_pixels.data() + row * winograd_tile * plan.width,
                                       columns, channels);
        }
        winograd_kernels().gradient(tile_pixels.data(), frequencies + tile * plan.width, stride);
    }
}

// Adds the products of one slice of a block to one panel's partial gradient, or writes the first
// ones.
void add_products(const Plan& plan, const float* fine, const float* coarse,
                  std::int64_t coarse_stride, std::int64_t slice, std::int64_t count,
                  std::int64_t panel, bool first, float* sums) {
    const WinogradTiles& tiles = plan.tiles;
    const std::int64_t zero = 0, channels = plan.pass.source.channels;
    ConvWeightBlock block{};
    block.add = !first;
    block.row_offset = &zero;
    block.rows = 1;
    block.pixels = count;
    block.coarse_channels =
        static_cast<int>(std::min(plan.width, plan.pass.target.channels - panel * plan.width));
    for (int f = 0; f < winograd_frequencies; ++f)
        for (std::int64_t b = 0; b < plan.blocks; ++b)
            for (std::int64_t tap = 0; tap < tiles.depth_taps; ++tap) {
                block.channels =
                    static_cast<int>(std::min(strip_block, channels - b * strip_block));
                block.coarse = coarse + f * coarse_stride;
                block.strip = fine + f * tiles.frequency_size(channels) +
                              (b * tiles.slices + slice + tap) * tiles.block * strip_block;
                block.sums =
                    sums + f * plan.frequency_size + (b * tiles.depth_taps + tap) * plan.block_size;
                conv_weight_kernels().block(block);
            }
}

// One chunk of the blocks for a range of panels.
void run_task(const Plan& plan, const SharedSource& source, std::int64_t chunk,
              std::int64_t first_panel, std::int64_t last_panel, float* partial) {
    const WinogradTiles& tiles = plan.tiles;
    float* gradient = partial + chunk * plan.panels * plan.panel_size();
    const std::int64_t coarse_stride = tiles.block * plan.width + strip_block;
    Workspace<float> own(source.own_size());
    Workspace<float> coarse(winograd_frequencies * coarse_stride);
    const std::int64_t first_unit = chunk * plan.units / plan.chunks;
    const std::int64_t end_unit = (chunk + 1) * plan.units / plan.chunks;
    for (std::int64_t unit = first_unit; unit < end_unit; ++unit) {
        const std::int64_t first = unit % tiles.blocks * tiles.block;
        const std::int64_t count = std::min(tiles.block, tiles.count - first);
        const std::int64_t depth = unit / tiles.blocks * tiles.depth;
        const float* fine = source.block(unit, own.data());
        const std::int64_t slices = std::min(tiles.depth, plan.phase.count[0] - depth);
        for (std::int64_t panel = first_panel; panel < last_panel; ++panel)
            for (std::int64_t slice = 0; slice < slices; ++slice) {
                transform_coarse(plan, first, count, depth + slice, panel, coarse_stride,
                                 coarse.data());
                add_products(plan, fine, coarse.data(), coarse_stride, slice, count, panel,
                             unit == first_unit && slice == 0,
                             gradient + panel * plan.panel_size());
            }
    }
}

// Adds the partial gradients of one (panel, channel block, depth tap, channel), transforms the sum
// back and puts it in weight order.
void combine(const Plan& plan, std::int64_t panel, std::int64_t block, std::int64_t channel,
             const float* partial, float* grad_weight) {
    const ConvGeometry& g = plan.pass.geometry;
    constexpr int plane = winograd_kernel * winograd_kernel;
    Workspace<float> sums(winograd_frequencies * plan.width), taps(plane * plan.width);
    const std::int64_t first = panel * plan.width;
    const std::int64_t valid = std::min(plan.width, g.coarse_channels - first);
    for (std::int64_t depth = 0; depth < plan.tiles.depth_taps; ++depth) {
        const float* source = partial + panel * plan.panel_size() +
                              (block * plan.tiles.depth_taps + depth) * plan.block_size +
                              channel * plan.width;
        for (int f = 0; f < winograd_frequencies; ++f)
            for (std::int64_t k = 0; k < plan.width; ++k) {
                float sum = source[f * plan.frequency_size + k];
                for (std::int64_t chunk = 1; chunk < plan.chunks; ++chunk)
                    sum += source[chunk * plan.panels * plan.panel_size() +
                                  f * plan.frequency_size + k];
                sums[f * plan.width + k] = sum;
            }
        winograd_kernels().weight_gradient(sums.data(), plan.width, taps.data());
        for (int t = 0; t < plane; ++t)
            for (std::int64_t k = 0; k < valid; ++k)
                grad_weight[g.weight_index(0, first + k, block * strip_block + channel,
                                           depth * plane + t)] = taps[t * plan.width + k];
    }
}

}  // namespace

void conv_winograd_weight_gradient(const ConvGeometry& g, const float* fine, const float* coarse,
                                   float* grad_weight) {
    const Pass pass = forward_pass(g, fine, nullptr, nullptr, nullptr);
    const GatherPhase phase = gather_coarse_from_fine(g);
    Plan plan{pass,
              phase,
              coarse,
              plan_tiles(phase, g.batch, g.fine_channels, smallest_block),
              conv_weight_kernels().panel,
              0,
              0,
              0,
              0,
              0,
              1};
    const WinogradTiles& tiles = plan.tiles;
    plan.panels = (g.coarse_channels + plan.width - 1) / plan.width;
    plan.blocks = (g.fine_channels + strip_block - 1) / strip_block;
    plan.block_size = strip_block * plan.width;
    plan.frequency_size = plan.blocks * tiles.depth_taps * plan.block_size;
    plan.units = tiles.blocks * tiles.depth_blocks;
    if (plan.units == 0) {
        std::fill_n(grad_weight, g.weight_size(), 0.0f);
        return;
    }
    const std::int64_t affordable = partial_budget / (plan.panels * plan.panel_size());
    plan.chunks = std::clamp<std::int64_t>(std::min(enough_tasks, affordable), 1, plan.units);
    Workspace<float> partial(plan.chunks * plan.panels * plan.panel_size());
    const std::int64_t parts =
        std::clamp<std::int64_t>((enough_tasks + plan.chunks - 1) / plan.chunks, 1, plan.panels);
    const SharedSource source(pass, phase, tiles, parts > 1);
    parallel_for(plan.chunks * parts, [&](std::int64_t task) {
        const std::int64_t part = task % parts;
        run_task(plan, source, task / parts, part * plan.panels / parts,
                 (part + 1) * plan.panels / parts, partial.data());
    });
    parallel_for(plan.panels * plan.blocks, [&](std::int64_t at) {
        const std::int64_t block = at % plan.blocks;
        const std::int64_t channels = std::min(strip_block, g.fine_channels - block * strip_block);
        for (std::int64_t c = 0; c < channels; ++c)
            combine(plan, at / plan.blocks, block, c, partial.data(), grad_weight);
    });
}

}  // namespace voxelgrad

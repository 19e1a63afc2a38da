// Winograd convolution for kernels (depth, 3, 3) of stride 1: a quarter of the multiplications.
//
// A block of tiles is transformed for all source channels, multiplied with a panel of the
// transformed weight frequency by frequency (the register blocks of direct convolution), and
// transformed back, while it stays in the cache (Jia et al., "Optimizing N-dimensional,
// Winograd-based convolution for manycore CPUs", PPoPP 2018).
#include "ops/conv_winograd.hpp"

#include <algorithm>

#include "core/parallel_for.hpp"
#include "core/pool.hpp"
#include "kernels/conv_direct.hpp"
#include "kernels/winograd.hpp"
#include "ops/conv_algorithms.hpp"

namespace voxelgrad {
namespace {

constexpr std::int64_t enough_tasks = 16;  // fewer are cut further, by panels
constexpr std::int64_t fewest_channels = 16;
constexpr std::int64_t smallest_block = 28;  // tiles: two register blocks

struct Plan {
    const Pass& pass;
    const GatherPhase& phase;
    WinogradTiles tiles;
    std::int64_t width, panels;   // channels of a panel; panels
    std::int64_t panel_size;      // floats of one frequency of one panel's weight
    std::int64_t product_stride;  // floats between frequencies of a block's products
    const float* weight;          // [panel][frequency][channel block][depth tap][channel][width]
    const float* bias;            // by panels
};

// The number of the tap whose offset is `place` above the lowest, in (depth, row, column).
std::int64_t tap_at(const GatherPhase& phase, std::int64_t depth, std::int64_t row,
                    std::int64_t column) {
    for (const GatherTap& tap : phase.taps)
        if (tap.offset[0] - phase.low[0] == depth && tap.offset[1] - phase.low[1] == row &&
            tap.offset[2] - phase.low[2] == column)
            return tap.number;
    return -1;
}

// One panel of the weight for one block of 16 source channels.
void transform_weight(const Plan& plan, std::int64_t panel, std::int64_t start, float* packed) {
    const Pass& pass = plan.pass;
    const std::int64_t first = panel * plan.width, depth_taps = plan.tiles.depth_taps;
    const std::int64_t valid = std::min(plan.width, pass.target.channels - first);
    const std::int64_t end = std::min(start + strip_block, pass.source.channels);
    constexpr int plane = winograd_kernel * winograd_kernel;
    Workspace<float> taps(plane * plan.width);
    std::fill_n(taps.data(), plane * plan.width, 0.0f);
    float* out =
        packed + panel * winograd_frequencies * plan.panel_size + start * depth_taps * plan.width;
    for (std::int64_t depth = 0; depth < depth_taps; ++depth) {
        std::int64_t numbers[plane];
        for (int t = 0; t < plane; ++t)
            numbers[t] = tap_at(plan.phase, depth, t / winograd_kernel, t % winograd_kernel);
        for (std::int64_t c = start; c < end; ++c, out += plan.width) {
            for (int t = 0; t < plane; ++t)
                for (std::int64_t k = 0; k < valid; ++k)
                    taps[t * plan.width + k] =
                        pass.weight[pass.weight_index(0, first + k, c, numbers[t])];
            winograd_kernels().weight(taps.data(), out, plan.panel_size);
        }
    }
}

void transform_weights(const Plan& plan, float* packed) {
    const std::int64_t blocks = (plan.pass.source.channels + strip_block - 1) / strip_block;
    parallel_for(plan.panels * blocks, [&](std::int64_t at) {
        transform_weight(plan, at / blocks, at % blocks * strip_block, packed);
    });
}

// The products of one target slice of a block with one panel, all frequencies.
void multiply(const Plan& plan, const float* frequencies, std::int64_t panel, std::int64_t slice,
              std::int64_t count, const float* zeros, float* products) {
    const WinogradTiles& tiles = plan.tiles;
    std::int64_t offsets[most_depth_taps];
    ConvRow row{};
    for (std::int64_t tap = 0; tap < tiles.depth_taps; ++tap)
        offsets[tap] = (slice + tap) * tiles.block * strip_block;
    row.block_stride = tiles.slices * tiles.block * strip_block;
    row.tap_offset = offsets;
    row.taps = tiles.depth_taps;
    row.source_channels = plan.pass.source.channels;
    row.bias = zeros;
    row.output_stride = plan.width;
    row.pixels = static_cast<int>(count);
    row.output_channels =
        static_cast<int>(std::min(plan.width, plan.pass.target.channels - panel * plan.width));
    const std::int64_t stride = tiles.frequency_size(plan.pass.source.channels);
    for (int f = 0; f < winograd_frequencies; ++f) {
        row.strip = frequencies + f * stride;
        row.weight = plan.weight + (panel * winograd_frequencies + f) * plan.panel_size;
        row.output = products + f * plan.product_stride;
        conv_direct_kernels().row(row);
    }
}

void transform_back(const Plan& plan, const float* products, std::int64_t panel, std::int64_t first,
                    std::int64_t count, std::int64_t depth) {
    const Pass& pass = plan.pass;
    const std::int64_t all = pass.target.channels, channel = panel * plan.width;
    const std::int64_t* extent = pass.target.extent;
    const int channels = static_cast<int>(std::min(plan.width, all - channel));
    for (std::int64_t tile = 0; tile < count; ++tile) {
        const TilePlace place = place_of(plan.tiles, first + tile);
        const std::int64_t pixel =
            ((place.image * extent[0] + depth) * extent[1] + place.row) * extent[2] + place.column;
        const auto left = [](std::int64_t size, std::int64_t at) {
            return static_cast<int>(std::min<std::int64_t>(winograd_tile, size - at));
        };
        winograd_kernels().output(products + tile * plan.width, plan.product_stride,
                                  plan.bias + channel, pass.target_data + pixel * all + channel,
                                  extent[2] * all, all, left(extent[1], place.row),
                                  left(extent[2], place.column), channels);
    }
}

void run_task(const Plan& plan, const SharedSource& source, std::int64_t task, std::int64_t parts) {
    const WinogradTiles& tiles = plan.tiles;
    const std::int64_t part = task % parts, unit = task / parts;
    const std::int64_t depth = unit / tiles.blocks * tiles.depth;
    const std::int64_t first = unit % tiles.blocks * tiles.block;
    const std::int64_t count = std::min(tiles.block, tiles.count - first);
    Workspace<float> own(source.own_size());
    Workspace<float> products(winograd_frequencies * plan.product_stride);
    Workspace<float> zeros(plan.width);
    std::fill_n(zeros.data(), plan.width, 0.0f);
    const float* frequencies = source.block(unit, own.data());
    const std::int64_t last_slice = std::min(tiles.depth, plan.phase.count[0] - depth);
    const std::int64_t end = (part + 1) * plan.panels / parts;
    for (std::int64_t panel = part * plan.panels / parts; panel < end; ++panel)
        for (std::int64_t slice = 0; slice < last_slice; ++slice) {
            multiply(plan, frequencies, panel, slice, count, zeros.data(), products.data());
            transform_back(plan, products.data(), panel, first, count, depth + slice);
        }
}

void run(const Pass& pass, const GatherPhase& phase) {
    Plan plan{pass,
              phase,
              plan_tiles(phase, pass.geometry.batch, pass.source.channels, smallest_block),
              conv_direct_kernels().panel,
              0,
              0,
              0,
              nullptr,
              nullptr};
    if (plan.tiles.count * phase.count[0] == 0) return;
    plan.panels = (pass.target.channels + plan.width - 1) / plan.width;
    plan.panel_size = pass.source.channels * plan.tiles.depth_taps * plan.width;
    plan.product_stride = plan.tiles.block * plan.width + strip_block;
    Workspace<float> weight(plan.panels * winograd_frequencies * plan.panel_size);
    Workspace<float> bias(plan.panels * plan.width);
    std::fill_n(bias.data(), plan.panels * plan.width, 0.0f);
    if (pass.bias) std::copy_n(pass.bias, pass.target.channels, bias.data());
    transform_weights(plan, weight.data());
    plan.weight = weight.data();
    plan.bias = bias.data();
    const std::int64_t tasks = plan.tiles.blocks * plan.tiles.depth_blocks;
    const std::int64_t parts =
        std::clamp<std::int64_t>((enough_tasks + tasks - 1) / tasks, 1, plan.panels);
    const SharedSource source(pass, phase, plan.tiles, parts > 1);
    parallel_for(tasks * parts, [&](std::int64_t task) { run_task(plan, source, task, parts); });
}

void coarse_from_fine(const ConvGeometry& g, const float* fine, const float* weight,
                      const float* bias, float* coarse) {
    run(forward_pass(g, fine, weight, bias, coarse), gather_coarse_from_fine(g));
}

void fine_from_coarse(const ConvGeometry& g, const float* coarse, const float* weight,
                      const float* bias, float* fine) {
    run(backward_pass(g, coarse, weight, bias, fine), gather_fine_from_coarse(g).front());
}

// With few channels the transforms cost more than the multiplications that they save.
bool worthwhile(const ConvGeometry& g) {
    return g.fine_channels >= fewest_channels && g.coarse_channels >= fewest_channels &&
           g.coarse[1] >= winograd_tile && g.coarse[2] >= winograd_tile;
}

}  // namespace

extern const ConvAlgorithm conv_winograd = {"winograd",       winograd_accepts,
                                            worthwhile,       coarse_from_fine,
                                            fine_from_coarse, conv_winograd_weight_gradient};

}  // namespace voxelgrad

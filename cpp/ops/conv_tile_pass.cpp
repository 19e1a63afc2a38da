#include "ops/conv_tile_pass.hpp"

#include <algorithm>

#include "core/parallel_for.hpp"
#include "core/split.hpp"
#include "kernels/tile.hpp"

namespace voxelgrad {
namespace {

// One half of the columns of one step of one channel block. `packed` is zero.
struct Corner {
    std::int64_t group, target, source;  // first channels
    int columns, depth;                  // channels that there are
};

// A step of one tap and up to 32 channels: the weight is packed as it lies.
void pack_tap(const TilePass& pass, const Corner& at, std::int64_t tap, bf16* packed) {
    const float* const values = pass.weight_at(at.group, at.target, at.source, tap);
    const TileKernels& kernels = tile_bf16_product_kernels();
    const bool along = pass.source_is_contiguous();
    const ConvGeometry& g = pass.geometry;
    const std::int64_t stride =
        g.taps() * (along ? pass.source_channels() : pass.target_channels());
    (along ? kernels.pack_along : kernels.pack_across)(values, stride, at.depth, at.columns,
                                                       packed);
}

// A step of several taps of few channels: they are first laid side by side.
void pack_window(const TilePass& pass, const Corner& at, const TileStep& step, std::int64_t width,
                 bf16* packed) {
    float values[tile_depth * tile_half] = {};
    for (const TileStep::Tap& tap : step.taps)
        for (int d = 0; d < at.depth; ++d)
            for (int c = 0; c < at.columns; ++c)
                values[(tap.slot * width + d) * tile_half + c] =
                    *pass.weight_at(at.group, at.target + c, at.source + d, tap.number);
    tile_bf16_product_kernels().pack_across(values, tile_half, tile_depth, tile_half, packed);
}

}  // namespace

std::int64_t TilePass::panels() const { return divide_up(target_channels(), tile_columns); }

std::vector<TilePhase> tile_phases(const TilePass& pass, const TileStrip& strip,
                                   const GatherPhase& whole, const std::vector<GatherPhase>& phases,
                                   std::int64_t* end) {
    const std::int64_t blocks = strip.blocks(pass.source_channels());
    std::vector<TilePhase> result;
    *end = 0;
    for (const GatherPhase& phase : phases) {
        TilePhase tile{phase, tile_steps(strip, whole, phase), {}, 0, *end};
        for (std::int64_t block = 0; block < blocks; ++block)
            for (const TileStep& step : tile.steps)
                tile.step_offset.push_back(step.offset + block * strip.block_stride);
        tile.panel_size = static_cast<std::int64_t>(tile.step_offset.size()) * 2 * packed_tile;
        *end += pass.geometry.groups * pass.panels() * tile.panel_size;
        result.push_back(tile);
    }
    return result;
}

void pack_tile_weight(const TilePass& pass, const TileStrip& strip, const TilePhase& phase,
                      bf16* packed) {
    const std::int64_t panels = pass.panels(), blocks = strip.blocks(pass.source_channels());
    parallel_for(pass.geometry.groups * panels * blocks, [&](std::int64_t at) {
        const std::int64_t panel = at / blocks % panels, block = at % blocks;
        const std::int64_t left = pass.target_channels() - panel * tile_columns;
        const int halves = left > tile_half ? 2 : 1;
        const std::int64_t steps = static_cast<std::int64_t>(phase.steps.size());
        bf16* out = packed + phase.first + at / blocks * phase.panel_size +
                    block * steps * halves * packed_tile;
        for (const TileStep& step : phase.steps)
            for (int half = 0; half < halves; ++half, out += packed_tile) {
                const Corner corner{
                    at / blocks / panels, panel * tile_columns + half * tile_half,
                    block * tile_depth,
                    static_cast<int>(std::min<std::int64_t>(tile_half, left - half * tile_half)),
                    static_cast<int>(std::min<std::int64_t>(
                        tile_depth, pass.source_channels() - block * tile_depth))};
                if (strip.width == tile_depth)
                    pack_tap(pass, corner, step.taps.front().number, out);
                else
                    pack_window(pass, corner, step, strip.width, out);
            }
    });
}

}  // namespace voxelgrad

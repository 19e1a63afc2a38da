#include "ops/conv_tile.hpp"

#include <algorithm>

#include "core/kept_weight.hpp"
#include "core/parallel_for.hpp"
#include "core/pool.hpp"
#include "core/split.hpp"
#include "core/streaming.hpp"
#include "kernels/tile.hpp"
#include "ops/conv_algorithms.hpp"
#include "ops/conv_tile_pass.hpp"
#include "ops/conv_written.hpp"

namespace voxelgrad {
namespace {

constexpr std::int64_t strip_budget = 224 * 1024;  // elements: 448 KiB of the L2 cache
constexpr std::int64_t enough_tasks = 16;          // fewer are cut further, by phases and panels

struct Plan {
    const TilePass& pass;
    GatherPhase whole;  // all phases: the largest count, the whole range of offsets, no taps
    TileStrip strip;
    std::vector<TilePhase> phases;
    const bf16* weight;  // packed
    const float* bias;   // by panels
};

// Writes 32 products, flat positions from `position` on, to the pixels that there are.
void store_products(const Plan& plan, const GatherPhase& phase, const std::int64_t* count,
                    std::int64_t position, const float* sums, const float* bias,
                    const Rows<bf16>& pixels, int channels, bool stream) {
    const std::int64_t width = plan.pass.target_extent()[2];
    const std::int64_t end = position + tile_rows;
    for (std::int64_t at = position; at < end;) {
        const std::int64_t row = at / plan.strip.columns, column = at % plan.strip.columns;
        if (row >= count[1]) return;
        const std::int64_t run = std::min(count[2] - column, end - at);
        if (run > 0)
            tile_bf16_product_kernels().finish(
                sums + (at - position) * tile_columns, bias,
                pixels.at(phase.step[1] * row * width + phase.step[2] * column, 0).data,
                phase.step[2] * pixels.pitch, run, channels, plan.pass.epilogue.slope, stream);
        at += std::max(run, std::int64_t{0});
        if (at < end) at = (row + 1) * plan.strip.columns;
    }
}

// Whether a piece of the target is written past the cache: whole blocks of channels only.
bool streams(const TilePass& pass, const Piece<bf16>& piece) {
    const ConvGeometry& g = pass.geometry;
    const std::int64_t pixels = pass.target_is_coarse ? g.coarse_pixels() : g.fine_pixels();
    return worth_streaming(piece.rows.data, g.batch * pixels * piece.rows.pitch,
                           piece.rows.pitch / g.groups);
}

void run_panel(const Plan& plan, const TilePhase& tile, std::int64_t panel,
               const StripBox& whole_box, std::int64_t group, const bf16* strip) {
    const TilePass& pass = plan.pass;
    const GatherPhase& phase = tile.phase;
    const std::int64_t at = group * pass.panels() + panel, channel = panel * tile_columns;
    const std::int64_t* extent = pass.target_extent();
    const StripBox box = clipped(whole_box, phase);
    const std::int64_t* count = box.count;
    if (count[0] <= 0 || count[1] <= 0 || count[2] <= 0) return;
    const int channels =
        static_cast<int>(std::min<std::int64_t>(tile_columns, pass.target_channels() - channel));
    const std::int64_t first = group * pass.target_channels() + channel;
    const Piece<bf16>& piece = piece_with(pass.targets, first);
    Rows<bf16> target = piece.rows.at(row_start(phase, box, extent, 0, 0), first - piece.begin);
    const std::int64_t slice = phase.step[0] * extent[1] * extent[2];
    const bool stream = channels == tile_columns && streams(pass, piece);

    alignas(64) float sums[tile_rows * tile_columns];
    TileProduct product{};
    product.row_stride = plan.strip.width;
    product.step_offset = tile.step_offset.data();
    product.steps = static_cast<std::int64_t>(tile.step_offset.size());
    product.columns = plan.weight + tile.first + at * tile.panel_size;
    product.halves = channels > tile_half ? 2 : 1;
    product.sums = sums;
    const std::int64_t positions = (count[1] - 1) * plan.strip.columns + count[2];
    for (std::int64_t d = 0; d < count[0]; ++d, target = target.at(slice, 0))
        for (std::int64_t position = 0; position < positions; position += tile_rows) {
            product.wanted = std::min<std::int64_t>(positions - position, tile_rows);
            product.rows = strip + d * plan.strip.depth_stride() + position * plan.strip.width;
            tile_bf16_product_kernels().multiply(product);
            store_products(plan, phase, count, position, sums, plan.bias + at * tile_columns,
                           target, channels, stream);
        }
}

// One task: fill the strip of one box of one image and group, then run a part of the phases and
// panels on it.
void run_task(const Plan& plan, std::int64_t task, std::int64_t parts) {
    const TilePass& pass = plan.pass;
    const std::int64_t part = task % parts, groups = pass.geometry.groups;
    const std::int64_t group = task / parts % groups, channels = pass.source_channels();
    const StripBox box = box_at(plan.strip.box, plan.whole, task / parts / groups);
    std::int64_t origin[conv_axes];
    for (int a = 0; a < conv_axes; ++a)
        origin[a] = plan.whole.unit[a] * box.first[a] + plan.whole.low[a];
    Workspace<bf16> strip(plan.strip.size);
    fill_tile_strip(plan.strip,
                    {pass.sources, pass.source_extent(), box.image, group * channels, channels},
                    origin, strip.data());
    const std::int64_t panels = pass.panels();
    const std::int64_t items = static_cast<std::int64_t>(plan.phases.size()) * panels;
    tile_bf16_product_kernels().begin();
    for (std::int64_t item = part * items / parts; item < (part + 1) * items / parts; ++item)
        run_panel(plan, plan.phases[static_cast<std::size_t>(item / panels)], item % panels, box,
                  group, strip.data());
    tile_bf16_product_kernels().end();
    if (pass.epilogue.written && !streams(pass, pass.targets[0]))
        tell_of_panels(*pass.epilogue.written, pass.target_extent(), box, part * items / parts,
                       (part + 1) * items / parts, tile_columns, pass.target_channels());
}

// Bias by panels, zeros where there is none.
void pack_bias(const TilePass& pass, float* packed) {
    const std::int64_t panels = pass.panels(), channels = pass.target_channels();
    std::fill_n(packed, pass.geometry.groups * panels * tile_columns, 0.0f);
    if (pass.epilogue.bias == nullptr) return;
    for (std::int64_t group = 0; group < pass.geometry.groups; ++group)
        std::copy_n(pass.epilogue.bias + group * channels, channels,
                    packed + group * panels * tile_columns);
}

void run(const TilePass& pass, const std::vector<GatherPhase>& phases) {
    if (phases.empty()) return;  // a target without pixels
    const ConvGeometry& g = pass.geometry;
    const GatherPhase whole = merged(phases);
    Plan plan{pass, whole,   plan_tile_strip(whole, pass.source_channels(), strip_budget),
              {},   nullptr, nullptr};
    const std::int64_t tasks = g.batch * g.groups * boxes_of_image(plan.strip.box, whole);
    if (tasks == 0) return;
    std::int64_t packed_size;
    plan.phases = tile_phases(pass, plan.strip, whole, phases, &packed_size);
    const PackedWeight<bf16> weight(&tile_bf16_product_kernels(), pass.weight, g.weight_size(),
                                    packed_size, [&](bf16* packed) {
                                        for (const TilePhase& phase : plan.phases)
                                            pack_tile_weight(pass, plan.strip, phase, packed);
                                    });
    Workspace<float> bias(g.groups * pass.panels() * tile_columns);
    pack_bias(pass, bias.data());
    plan.weight = weight.data();
    plan.bias = bias.data();
    const std::int64_t items = static_cast<std::int64_t>(plan.phases.size()) * pass.panels();
    const std::int64_t parts = std::clamp<std::int64_t>(divide_up(enough_tasks, tasks), 1, items);
    parallel_for(tasks * parts, [&](std::int64_t task) { run_task(plan, task, parts); });
}

void coarse_from_pieces(const ConvGeometry& g, ImagePieces<const bf16> fine, const float* weight,
                        const ConvEpilogue& epilogue, bf16* coarse) {
    const Piece<bf16> target = whole_image(coarse, g.groups * g.coarse_channels);
    run({g, true, fine, weight, epilogue, {&target, 1}}, {gather_coarse_from_fine(g)});
}

void coarse_from_fine(const ConvGeometry& g, const bf16* fine, const float* weight,
                      const ConvEpilogue& epilogue, bf16* coarse) {
    const Piece<const bf16> source = whole_image(fine, g.groups * g.fine_channels);
    coarse_from_pieces(g, {&source, 1}, weight, epilogue, coarse);
}

void pieces_from_coarse(const ConvGeometry& g, const bf16* coarse, const float* weight,
                        const ConvEpilogue& epilogue, ImagePieces<bf16> fine) {
    const Piece<const bf16> source = whole_image(coarse, g.groups * g.coarse_channels);
    run({g, false, {&source, 1}, weight, epilogue, fine}, gather_fine_from_coarse(g));
}

void fine_from_coarse(const ConvGeometry& g, const bf16* coarse, const float* weight,
                      const ConvEpilogue& epilogue, bf16* fine) {
    const Piece<bf16> target = whole_image(fine, g.groups * g.fine_channels);
    pieces_from_coarse(g, coarse, weight, epilogue, {&target, 1});
}

bool accepts(const ConvGeometry&) { return true; }

// Few channels leave the tiles empty, which only AMX is fast enough to bear.
bool worthwhile(const ConvGeometry& g) {
    const std::int64_t few = std::min(g.fine_channels, g.coarse_channels);
    if (active_isa() != Isa::amx) return few >= (g.taps() == 1 ? tile_half / 2 : tile_half);
    return g.groups == 1 || g.fine_channels * g.coarse_channels >= tile_half * tile_half;
}

}  // namespace

extern const ConvAlgorithmFor<bf16> conv_tile = {
    "tile",
    accepts,
    worthwhile,
    coarse_from_fine,
    fine_from_coarse,
    conv_tile_weight_gradient,
    coarse_from_pieces,
    pieces_from_coarse,
    conv_tile_weight_gradient_of_pieces,
    tile_columns,
};

}  // namespace voxelgrad

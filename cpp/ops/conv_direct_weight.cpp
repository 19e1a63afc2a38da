// The pixels are cut into chunks that the geometry alone decides. Each chunk sums its boxes of
// pixels into a partial gradient of its own; partial gradients are added in the order of the
// chunks. They are written and read once more, so together they may be as large as the arrays.
//
// The gradient is symmetric in the two grids: one is read as windows from a strip, whose values are
// broadcast, the other pixel by pixel in panels of channels. Few coarse channels are the windows.
#include "ops/conv_direct_weight.hpp"

#include <algorithm>

#include "core/parallel_for.hpp"
#include "core/pool.hpp"
#include "core/split.hpp"
#include "kernels/conv_weight.hpp"
#include "kernels/transpose.hpp"
#include "ops/conv_pass.hpp"
#include "ops/conv_strip.hpp"

namespace voxelgrad {
namespace {

constexpr std::int64_t strip_budget = 96 * 1024;  // floats: 384 KiB of the L2 cache
constexpr std::int64_t pixels_at_once = 256;      // a panel of them stays in the L1 cache

// A partial gradient is [group][panel][channel block][tap][channel][panel channel], taps in the
// order of the phases.
struct Plan {
    Sides sides;  // source: the windows; target: the panels
    const float* source;
    const float* target;
    std::vector<GatherPhase> phases;
    GatherPhase whole;
    StripLayout strip;
    std::int64_t units;       // boxes of all images
    std::int64_t width;       // channels of a panel
    std::int64_t panels;      // of a group
    std::int64_t tap_size;    // floats of one tap of one block
    std::int64_t panel_size;  // floats of one panel's partial gradient
    std::int64_t chunks;

    std::int64_t gradient_size() const { return sides.geometry.groups * panels * panel_size; }
};

std::int64_t chunks_of(const Plan& plan) {
    const ConvGeometry& g = plan.sides.geometry;
    const std::int64_t arrays =
        g.groups * g.batch *
        (g.fine_pixels() * g.fine_channels + g.coarse_pixels() * g.coarse_channels);
    const std::int64_t affordable = std::max<std::int64_t>(1, arrays / plan.gradient_size());
    const std::int64_t wanted = divide_up(enough_tasks(g), g.groups);
    return std::clamp<std::int64_t>(std::min(wanted, affordable), 1,
                                    std::max<std::int64_t>(plan.units, 1));
}

// Panel after panel reads the same target pixels: they shall stay in the cache like the strip.
std::int64_t budget_of(const Sides& sides) {
    const double source = static_cast<double>(sides.source.pixels() * sides.source.channels);
    const double target = static_cast<double>(sides.target.pixels() * sides.target.channels);
    return static_cast<std::int64_t>(strip_budget * std::min(1.0, source / std::max(target, 1.0)));
}

Plan make_plan(const ConvGeometry& g, const float* fine, const float* coarse) {
    const bool few_coarse = g.coarse_channels < std::min(g.fine_channels, strip_block);
    const std::vector<GatherPhase> phases =
        few_coarse ? gather_fine_from_coarse(g)
                   : std::vector<GatherPhase>{gather_coarse_from_fine(g)};
    const Sides sides = few_coarse ? backward_sides(g) : forward_sides(g);
    const std::int64_t channels = sides.source.channels;
    Plan plan{sides,
              few_coarse ? coarse : fine,
              few_coarse ? fine : coarse,
              phases,
              merged(phases),
              {},
              0,
              conv_weight_kernels().panel,
              0,
              0,
              0,
              1};
    plan.strip = plan_strip(plan.whole, broadcast_order(channels), channels, budget_of(sides));
    plan.units = g.batch * boxes_of_image(plan.strip.box, plan.whole);
    plan.panels = divide_up(sides.target.channels, plan.width);
    plan.tap_size = plan.strip.block * plan.width;
    plan.panel_size = plan.strip.blocks * g.taps() * plan.tap_size;
    plan.chunks = chunks_of(plan);
    return plan;
}

// Every part of the panels fills the strip again, which should be used often; two are always fine.
std::int64_t most_parts(const Plan& plan) {
    constexpr std::int64_t fewest_uses = 4;  // of a strip: panels times taps
    const std::int64_t uses = plan.panels * plan.sides.geometry.taps();
    return std::min(std::max<std::int64_t>(uses / fewest_uses, 2), plan.panels);
}

// Adds what the packed rows of a block give to the sums of one phase, run by run of its taps.
void add_taps(const Plan& plan, const GatherPhase& phase, ConvWeightBlock& block,
              const float* strip, float* sums) {
    const std::int64_t channels = plan.sides.source.channels;
    const std::int64_t run =
        plan.strip.order == StripOrder::pixels ? run_of_taps(phase) : std::int64_t{1};
    const std::int64_t taps = static_cast<std::int64_t>(phase.taps.size());
    for (std::int64_t b = 0; b < plan.strip.blocks; ++b) {
        block.channels =
            static_cast<int>(run * std::min(plan.strip.block, channels - b * plan.strip.block));
        for (std::int64_t tap = 0; tap < taps; tap += run) {
            const std::int64_t* offset = phase.taps[static_cast<std::size_t>(tap)].offset;
            block.strip =
                strip + b * plan.strip.block_stride +
                plan.strip.offset(offset[0] - plan.whole.low[0], offset[1] - plan.whole.low[1],
                                  offset[2] - plan.whole.low[2]);
            block.sums = sums + (b * plan.sides.geometry.taps() + tap) * plan.tap_size;
            conv_weight_kernels().block(block);
        }
    }
}

// Adds rows [begin, end) of a box (depth and height counted as one) to a panel's partial gradient.
void add_rows(const Plan& plan, const GatherPhase& phase, const StripBox& box, std::int64_t group,
              std::int64_t panel, std::int64_t begin, std::int64_t end, const float* strip,
              float* packed, float* sums) {
    const Side& target = plan.sides.target;
    const std::int64_t all = plan.sides.geometry.groups * target.channels;
    const std::int64_t channel = panel * plan.width;
    std::int64_t row_offset[pixels_at_once];
    ConvWeightBlock block{};
    block.add = true;
    block.coarse_channels = static_cast<int>(std::min(plan.width, target.channels - channel));
    block.coarse = packed;
    for (std::int64_t row = begin; row < end; ++row) {
        const std::int64_t d = row / box.count[1], h = row % box.count[1];
        const float* pixels = plan.target + row_start(phase, box, target.extent, d, h) * all;
        conv_weight_kernels().pack(pixels + group * target.channels + channel, phase.step[2] * all,
                                   packed + (row - begin) * box.count[2] * plan.width, box.count[2],
                                   block.coarse_channels);
        row_offset[row - begin] = plan.strip.offset(phase.unit[0] * d, phase.unit[1] * h, 0);
    }
    block.row_offset = row_offset;
    block.rows = end - begin;
    block.pixels = box.count[2];
    block.pixel_step = plan.strip.pixel_step;
    add_taps(plan, phase, block, strip, sums);
}

// Adds one box to the partial gradients of a range of panels.
void add_box(const Plan& plan, const StripBox& whole_box, std::int64_t group,
             std::int64_t first_panel, std::int64_t last_panel, const float* strip, float* packed,
             float* gradient) {
    std::int64_t first_tap = 0;
    for (const GatherPhase& phase : plan.phases) {
        const StripBox box = clipped(whole_box, phase);
        const std::int64_t rows = box.count[2] > 0 ? box.count[0] * box.count[1] : 0;
        const std::int64_t step =
            std::max<std::int64_t>(1, pixels_at_once / std::max<std::int64_t>(box.count[2], 1));
        for (std::int64_t panel = first_panel; panel < last_panel; ++panel)
            for (std::int64_t row = 0; row < rows; row += step)
                add_rows(plan, phase, box, group, panel, row, std::min(row + step, rows), strip,
                         packed, gradient + panel * plan.panel_size + first_tap * plan.tap_size);
        first_tap += static_cast<std::int64_t>(phase.taps.size());
    }
}

// One chunk of the pixels for one group and a range of panels.
void run_task(const Plan& plan, std::int64_t chunk, std::int64_t group, std::int64_t first_panel,
              std::int64_t last_panel, float* partial) {
    float* gradient =
        partial + chunk * plan.gradient_size() + group * plan.panels * plan.panel_size;
    std::fill(gradient + first_panel * plan.panel_size, gradient + last_panel * plan.panel_size,
              0.0f);
    const Side& side = plan.sides.source;
    const StripSource source{plan.source + group * side.channels, side.extent,
                             plan.sides.geometry.groups * side.channels, side.channels};
    Workspace<float> strip(plan.strip.size);
    Workspace<float> packed((pixels_at_once + plan.strip.box[2]) * plan.width);
    const std::int64_t end_unit = (chunk + 1) * plan.units / plan.chunks;
    for (std::int64_t unit = chunk * plan.units / plan.chunks; unit < end_unit; ++unit) {
        const StripBox box = box_at(plan.strip.box, plan.whole, unit);
        fill_strip(plan.strip, plan.whole, source, box, strip.data());
        add_box(plan, box, group, first_panel, last_panel, strip.data(), packed.data(), gradient);
    }
}

// Puts [channel][panel channel] of one tap where the weight has it.
void unpack(const Plan& plan, const float* sums, std::int64_t group, std::int64_t panel,
            std::int64_t block, std::int64_t tap_number, float* grad_weight) {
    const Sides& sides = plan.sides;
    const std::int64_t first = panel * plan.width, start = block * plan.strip.block;
    const std::int64_t channels = std::min(plan.strip.block, sides.source.channels - start);
    const std::int64_t valid = std::min(plan.width, sides.target.channels - first);
    float* out = grad_weight + sides.weight_index(group, first, start, tap_number);
    if (sides.target_step() == 1)
        for (std::int64_t c = 0; c < channels; ++c)
            std::copy_n(sums + c * plan.width, valid, out + c * sides.source_step());
    else
        transpose_kernels<float>().matrix(sums, plan.width, out, sides.target_step(), valid,
                                          channels, false);
}

// Whether some taps are in no phase: those that meet nothing but padding, or an empty fine grid.
bool misses_taps(const Plan& plan) {
    std::size_t taps = 0;
    for (const GatherPhase& phase : plan.phases) taps += phase.taps.size();
    return static_cast<std::int64_t>(taps) < plan.sides.geometry.taps();
}

// Adds the partial gradients of one (group, panel, channel block) and puts them in weight order.
void combine(const Plan& plan, const float* partial, std::int64_t at, float* grad_weight) {
    const std::int64_t block = at % plan.strip.blocks;
    const std::int64_t panel = at / plan.strip.blocks % plan.panels,
                       group = at / plan.strip.blocks / plan.panels;
    const float* value = partial + at * plan.sides.geometry.taps() * plan.tap_size;
    Workspace<float> sums(plan.tap_size);
    for (const GatherPhase& phase : plan.phases)
        for (const GatherTap& tap : phase.taps) {
            std::copy_n(value, plan.tap_size, sums.data());
            for (std::int64_t chunk = 1; chunk < plan.chunks; ++chunk)
                for (std::int64_t i = 0; i < plan.tap_size; ++i)
                    sums[i] += value[chunk * plan.gradient_size() + i];
            unpack(plan, sums.data(), group, panel, block, tap.number, grad_weight);
            value += plan.tap_size;
        }
}

}  // namespace

void conv_direct_weight_gradient(const ConvGeometry& g, const float* fine, const float* coarse,
                                 float* grad_weight) {
    if (conv_planar_weight_serves(g))
        return conv_planar_weight_gradient(g, fine, coarse, grad_weight);
    const Plan plan = make_plan(g, fine, coarse);
    if (misses_taps(plan)) std::fill_n(grad_weight, g.weight_size(), 0.0f);
    Workspace<float> partial(plan.chunks * plan.gradient_size());
    const std::int64_t tasks_of_panels = g.groups * plan.chunks;
    const std::int64_t parts =
        std::clamp<std::int64_t>(divide_up(enough_tasks(g), tasks_of_panels), 1, most_parts(plan));
    parallel_for(tasks_of_panels * parts, [&](std::int64_t task) {
        const std::int64_t part = task % parts, rest = task / parts;
        run_task(plan, rest / g.groups, rest % g.groups, part * plan.panels / parts,
                 (part + 1) * plan.panels / parts, partial.data());
    });
    const std::int64_t blocks = g.groups * plan.panels * plan.strip.blocks;
    parallel_for_ranges(blocks, divide_up(blocks, enough_tasks(g)),
                        [&](std::int64_t begin, std::int64_t end) {
                            for (std::int64_t at = begin; at < end; ++at)
                                combine(plan, partial.data(), at, grad_weight);
                        });
}

}  // namespace voxelgrad

// The pixels are cut into chunks that the geometry alone decides. Each chunk sums its boxes of
// pixels into a partial gradient of its own; partial gradients are added in the order of the
// chunks. They are written and read once more, so together they may be as large as the arrays.
#include "ops/conv_direct_weight.hpp"

#include <algorithm>

#include "core/parallel_for.hpp"
#include "core/pool.hpp"
#include "core/split.hpp"
#include "kernels/conv_weight.hpp"
#include "ops/conv_strip.hpp"

namespace voxelgrad {
namespace {

constexpr std::int64_t strip_budget = 96 * 1024;  // floats: 384 KiB of the L2 cache
constexpr std::int64_t pixels_at_once = 256;      // a panel of them stays in the L1 cache
constexpr std::int64_t enough_tasks = 32;

struct Plan {
    const ConvGeometry& g;
    const GatherPhase phase;
    const StripLayout strip;
    const float* fine;
    const float* coarse;
    std::int64_t units;       // boxes of all images
    std::int64_t width;       // channels of a panel
    std::int64_t panels;      // of a group
    std::int64_t blocks;      // channel blocks of the strip
    std::int64_t panel_size;  // floats of one panel's partial gradient
    std::int64_t chunks;

    std::int64_t gradient_size() const { return g.groups * panels * panel_size; }
};

Plan make_plan(const ConvGeometry& g, const float* fine, const float* coarse) {
    const GatherPhase phase = gather_coarse_from_fine(g);
    const StripLayout strip = plan_strip(phase, StripOrder::blocks, g.fine_channels, strip_budget);
    const std::int64_t units = g.batch * boxes_of_image(strip, phase);
    Plan plan{g, phase, strip, fine, coarse, units, conv_weight_kernels().panel, 0, 0, 0, 1};
    plan.panels = divide_up(g.coarse_channels, plan.width);
    plan.blocks = divide_up(g.fine_channels, strip_block);
    plan.panel_size = plan.blocks * g.taps() * strip_block * plan.width;
    const std::int64_t arrays = g.groups * (g.batch * g.fine_pixels() * g.fine_channels +
                                            g.batch * g.coarse_pixels() * g.coarse_channels);
    const std::int64_t affordable = std::max<std::int64_t>(1, arrays / plan.gradient_size());
    const std::int64_t wanted = divide_up(enough_tasks, g.groups);
    plan.chunks = std::clamp<std::int64_t>(std::min(wanted, affordable), 1,
                                           std::max<std::int64_t>(plan.units, 1));
    return plan;
}

// Adds rows [begin, end) of a box (depth and height counted as one) to a panel's partial gradient.
void add_rows(const Plan& plan, const StripBox& box, std::int64_t group, std::int64_t panel,
              std::int64_t begin, std::int64_t end, const float* strip, float* packed,
              float* sums) {
    const ConvGeometry& g = plan.g;
    const std::int64_t all = g.groups * g.coarse_channels, channel = panel * plan.width;
    std::int64_t row_offset[pixels_at_once];
    ConvWeightBlock block{};
    block.add = true;
    block.coarse_channels = static_cast<int>(std::min(plan.width, g.coarse_channels - channel));
    for (std::int64_t row = begin; row < end; ++row) {
        const std::int64_t d = row / box.count[1], h = row % box.count[1];
        const std::int64_t pixel =
            ((box.image * g.coarse[0] + box.first[0] + d) * g.coarse[1] + box.first[1] + h) *
                g.coarse[2] +
            box.first[2];
        conv_weight_kernels().pack(plan.coarse + pixel * all + group * g.coarse_channels + channel,
                                   all, packed + (row - begin) * box.count[2] * plan.width,
                                   box.count[2], block.coarse_channels);
        row_offset[row - begin] =
            plan.strip.offset(plan.phase.unit[0] * d, plan.phase.unit[1] * h, 0);
    }
    block.coarse = packed;
    block.row_offset = row_offset;
    block.rows = end - begin;
    block.pixels = box.count[2];
    for (std::int64_t b = 0; b < plan.blocks; ++b) {
        block.channels = static_cast<int>(std::min(strip_block, g.fine_channels - b * strip_block));
        for (const GatherTap& tap : plan.phase.taps) {
            block.strip = strip + b * plan.strip.block_stride +
                          plan.strip.offset(tap.offset[0] - plan.phase.low[0],
                                            tap.offset[1] - plan.phase.low[1],
                                            tap.offset[2] - plan.phase.low[2]);
            block.sums = sums + (b * g.taps() + tap.number) * strip_block * plan.width;
            conv_weight_kernels().block(block);
        }
    }
}

// One chunk of the pixels for one group and a range of panels.
void run_task(const Plan& plan, std::int64_t chunk, std::int64_t group, std::int64_t first_panel,
              std::int64_t last_panel, float* partial) {
    float* gradient =
        partial + chunk * plan.gradient_size() + group * plan.panels * plan.panel_size;
    std::fill(gradient + first_panel * plan.panel_size, gradient + last_panel * plan.panel_size,
              0.0f);
    const StripSource source{plan.fine + group * plan.g.fine_channels, plan.g.fine,
                             plan.g.groups * plan.g.fine_channels, plan.g.fine_channels};
    Workspace<float> strip(plan.strip.size);
    Workspace<float> packed((pixels_at_once + plan.strip.box[2]) * plan.width);
    const std::int64_t end_unit = (chunk + 1) * plan.units / plan.chunks;
    for (std::int64_t unit = chunk * plan.units / plan.chunks; unit < end_unit; ++unit) {
        const StripBox box = box_at(plan.strip, plan.phase, unit);
        fill_strip(plan.strip, plan.phase, source, box, strip.data());
        const std::int64_t rows = box.count[0] * box.count[1];
        const std::int64_t step = std::max<std::int64_t>(1, pixels_at_once / box.count[2]);
        for (std::int64_t panel = first_panel; panel < last_panel; ++panel)
            for (std::int64_t row = 0; row < rows; row += step)
                add_rows(plan, box, group, panel, row, std::min(row + step, rows), strip.data(),
                         packed.data(), gradient + panel * plan.panel_size);
    }
}

// Adds the partial gradients of one (group, panel, channel block) and puts them in weight order.
void combine(const Plan& plan, const float* partial, std::int64_t at, float* grad_weight) {
    const ConvGeometry& g = plan.g;
    const std::int64_t block = at % plan.blocks;
    const std::int64_t panel = at / plan.blocks % plan.panels,
                       group = at / plan.blocks / plan.panels;
    const std::int64_t channels = std::min(strip_block, g.fine_channels - block * strip_block);
    const std::int64_t valid = std::min(plan.width, g.coarse_channels - panel * plan.width);
    const std::int64_t size = strip_block * plan.width;
    Workspace<float> sums(size);
    for (std::int64_t tap = 0; tap < g.taps(); ++tap) {
        const float* value = partial + (at * g.taps() + tap) * size;
        std::copy_n(value, size, sums.data());
        for (std::int64_t chunk = 1; chunk < plan.chunks; ++chunk)
            for (std::int64_t i = 0; i < size; ++i)
                sums[i] += value[chunk * plan.gradient_size() + i];
        for (std::int64_t c = 0; c < channels; ++c)
            for (std::int64_t k = 0; k < valid; ++k)
                grad_weight[g.weight_index(group, panel * plan.width + k, block * strip_block + c,
                                           tap)] = sums[c * plan.width + k];
    }
}

}  // namespace

void conv_direct_weight_gradient(const ConvGeometry& g, const float* fine, const float* coarse,
                                 float* grad_weight) {
    const Plan plan = make_plan(g, fine, coarse);
    Workspace<float> partial(plan.chunks * plan.gradient_size());
    const std::int64_t tasks_of_panels = g.groups * plan.chunks;
    const std::int64_t parts =
        std::clamp<std::int64_t>(divide_up(enough_tasks, tasks_of_panels), 1, plan.panels);
    parallel_for(tasks_of_panels * parts, [&](std::int64_t task) {
        const std::int64_t part = task % parts, rest = task / parts;
        run_task(plan, rest / g.groups, rest % g.groups, part * plan.panels / parts,
                 (part + 1) * plan.panels / parts, partial.data());
    });
    parallel_for(g.groups * plan.panels * plan.blocks,
                 [&](std::int64_t at) { combine(plan, partial.data(), at, grad_weight); });
}

}  // namespace voxelgrad

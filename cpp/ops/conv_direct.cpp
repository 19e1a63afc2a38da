// Direct convolution: strips of the source in the L2 cache, weights packed into panels, register
// blocks of pixels x channels (after Georganas et al., "Anatomy of high-performance deep learning
// convolutions on SIMD architectures", SC 2018).
#include "kernels/conv_direct.hpp"

#include <algorithm>

#include "core/parallel_for.hpp"
#include "core/pool.hpp"
#include "ops/conv_algorithms.hpp"
#include "ops/conv_direct_weight.hpp"
#include "ops/conv_pass.hpp"
#include "ops/conv_strip.hpp"

namespace voxelgrad {
namespace {

constexpr std::int64_t strip_budget = 96 * 1024;             // floats: 384 KiB of the L2 cache
constexpr std::int64_t stream_from = std::int64_t{4} << 20;  // floats: 16 MiB
constexpr std::size_t cache_line = 64;
constexpr std::int64_t enough_tasks = 32;  // fewer are cut further, by phases and panels

// The weight of one phase: [group][panel][channel block][tap][channel][panel channel].
struct PhaseWeight {
    const GatherPhase& phase;
    std::int64_t panel_size;                // floats of a panel
    std::int64_t first;                     // where it begins in the packed weights
    std::vector<std::int64_t> tap_offsets;  // in the strip, floats
};

// What the phases of a pass share: the strip that holds the source of them all, and the panels.
struct Plan {
    const Pass& pass;
    GatherPhase whole;  // all phases: the largest count, the whole range of offsets, no taps
    StripLayout strip;
    std::int64_t boxes[conv_axes];
    std::int64_t width;   // channels of a panel
    std::int64_t panels;  // of a group
    std::vector<PhaseWeight> phases;
    const float* weight;  // packed
    const float* bias;    // packed
    bool stream;          // the target is written past the cache
};

// A target that the cache cannot hold until the next op reads it is better written past it, in
// whole cache lines.
bool worth_streaming(const Pass& pass) {
    const std::int64_t channels = pass.geometry.groups * pass.target.channels;
    const std::int64_t size = pass.geometry.batch * pass.target.pixels() * channels;
    const bool aligned = reinterpret_cast<std::uintptr_t>(pass.target_data) % cache_line == 0 &&
                         channels * sizeof(float) % cache_line == 0 &&
                         pass.target.channels * sizeof(float) % cache_line == 0;
    const bool whole_lines = conv_direct_kernels().panel * sizeof(float) >= cache_line;
    return aligned && whole_lines && size >= stream_from;
}

Plan make_plan(const Pass& pass, const std::vector<GatherPhase>& phases) {
    const GatherPhase whole = merged(phases);
    Plan plan{pass,
              whole,
              plan_strip(whole, pass.source.channels, strip_budget),
              {},
              conv_direct_kernels().panel,
              0,
              {},
              nullptr,
              nullptr,
              worth_streaming(pass)};
    plan.panels = (pass.target.channels + plan.width - 1) / plan.width;
    for (int a = 0; a < conv_axes; ++a)
        plan.boxes[a] = (whole.count[a] + plan.strip.box[a] - 1) / plan.strip.box[a];
    std::int64_t first = 0;
    for (const GatherPhase& phase : phases) {
        const std::int64_t taps = static_cast<std::int64_t>(phase.taps.size());
        PhaseWeight weight{phase, pass.source.channels * taps * plan.width, first, {}};
        for (const GatherTap& tap : phase.taps)
            weight.tap_offsets.push_back(plan.strip.offset(tap.offset[0] - whole.low[0],
                                                           tap.offset[1] - whole.low[1],
                                                           tap.offset[2] - whole.low[2]));
        first += pass.geometry.groups * plan.panels * weight.panel_size;
        plan.phases.push_back(weight);
    }
    return plan;
}

// Zero beyond the last channel.
void pack_weight(const Plan& plan, const PhaseWeight& weight, float* packed) {
    const Pass& pass = plan.pass;
    parallel_for(pass.geometry.groups * plan.panels, [&](std::int64_t at) {
        const std::int64_t group = at / plan.panels, first = at % plan.panels * plan.width;
        const std::int64_t valid = std::min(plan.width, pass.target.channels - first);
        float* out = packed + weight.first + at * weight.panel_size;
        for (std::int64_t start = 0; start < pass.source.channels; start += strip_block) {
            const std::int64_t end = std::min(start + strip_block, pass.source.channels);
            for (const GatherTap& tap : weight.phase.taps)
                for (std::int64_t c = start; c < end; ++c, out += plan.width) {
                    for (std::int64_t k = 0; k < valid; ++k)
                        out[k] = pass.weight[pass.weight_index(group, first + k, c, tap.number)];
                    std::fill(out + valid, out + plan.width, 0.0f);
                }
        }
    });
}

// Bias by panels, zeros where there is none.
void pack_bias(const Plan& plan, float* packed) {
    const Pass& pass = plan.pass;
    const std::int64_t padded = plan.panels * plan.width;
    std::fill(packed, packed + pass.geometry.groups * padded, 0.0f);
    if (pass.bias == nullptr) return;
    for (std::int64_t group = 0; group < pass.geometry.groups; ++group)
        std::copy_n(pass.bias + group * pass.target.channels, pass.target.channels,
                    packed + group * padded);
}

struct Box {
    std::int64_t image, group, first[conv_axes];
};

// All rows of one box, for one phase and panel.
void run_panel(const Plan& plan, const PhaseWeight& weight, std::int64_t panel, const Box& box,
               const float* strip) {
    const Pass& pass = plan.pass;
    const GatherPhase& phase = weight.phase;
    const std::int64_t all_channels = pass.geometry.groups * pass.target.channels;
    const std::int64_t channel = panel * plan.width, at = box.group * plan.panels + panel;
    const std::int64_t* extent = pass.target.extent;
    std::int64_t count[conv_axes];
    for (int a = 0; a < conv_axes; ++a)
        count[a] = std::min(plan.strip.box[a], phase.count[a] - box.first[a]);
    if (count[2] <= 0) return;

    ConvRow row{};
    row.block_stride = plan.strip.block_stride;
    row.tap_offset = weight.tap_offsets.data();
    row.taps = static_cast<std::int64_t>(weight.tap_offsets.size());
    row.source_channels = pass.source.channels;
    row.weight = plan.weight + weight.first + at * weight.panel_size;
    row.bias = plan.bias + at * plan.width;
    row.output_stride = phase.step[2] * all_channels;
    row.pixels = static_cast<int>(count[2]);
    row.output_channels = static_cast<int>(std::min(plan.width, pass.target.channels - channel));
    row.stream = plan.stream && row.output_channels == plan.width;
    const auto kernel = conv_direct_kernels().row;
    for (std::int64_t d = 0; d < count[0]; ++d)
        for (std::int64_t h = 0; h < count[1]; ++h) {
            const std::int64_t depth = phase.start[0] + phase.step[0] * (box.first[0] + d);
            const std::int64_t height = phase.start[1] + phase.step[1] * (box.first[1] + h);
            const std::int64_t column = phase.start[2] + phase.step[2] * box.first[2];
            const std::int64_t pixel =
                ((box.image * extent[0] + depth) * extent[1] + height) * extent[2] + column;
            row.strip = strip + plan.strip.offset(phase.unit[0] * d, phase.unit[1] * h, 0);
            row.output = pass.target_data + pixel * all_channels +
                         box.group * pass.target.channels + channel;
            kernel(row);
        }
}

// One task: fill the strip of one box of one image and group, then run a part of the phases and
// panels on it.
void run_task(const Plan& plan, std::int64_t task, std::int64_t parts) {
    const Pass& pass = plan.pass;
    const std::int64_t part = task % parts;
    std::int64_t rest = task / parts, origin[conv_axes];
    Box box{};
    box.group = rest % pass.geometry.groups;
    rest /= pass.geometry.groups;
    for (int a = conv_axes - 1; a >= 0; --a) {
        box.first[a] = rest % plan.boxes[a] * plan.strip.box[a];
        origin[a] = plan.whole.unit[a] * box.first[a] + plan.whole.low[a];
        rest /= plan.boxes[a];
    }
    box.image = rest;
    const std::int64_t all = pass.geometry.groups * pass.source.channels;
    const StripSource source{pass.source_data + box.image * pass.source.pixels() * all +
                                 box.group * pass.source.channels,
                             {pass.source.extent[0], pass.source.extent[1], pass.source.extent[2]},
                             all,
                             pass.source.channels};
    Workspace<float> strip(plan.strip.size);
    fill_strip(plan.strip, source, origin, strip.data());
    const std::int64_t items = static_cast<std::int64_t>(plan.phases.size()) * plan.panels;
    for (std::int64_t item = part * items / parts; item < (part + 1) * items / parts; ++item)
        run_panel(plan, plan.phases[static_cast<std::size_t>(item / plan.panels)],
                  item % plan.panels, box, strip.data());
}

void run(const Pass& pass, const std::vector<GatherPhase>& phases) {
    if (phases.empty()) return;  // a target without pixels
    Plan plan = make_plan(pass, phases);
    std::int64_t tasks = pass.geometry.batch * pass.geometry.groups;
    for (int a = 0; a < conv_axes; ++a) tasks *= plan.boxes[a];
    if (tasks == 0) return;
    const PhaseWeight& last = plan.phases.back();
    const std::int64_t rows = pass.geometry.groups * plan.panels;
    Workspace<float> weight(last.first + rows * last.panel_size + 1);
    Workspace<float> bias(rows * plan.width);
    for (const PhaseWeight& phase : plan.phases) pack_weight(plan, phase, weight.data());
    pack_bias(plan, bias.data());
    plan.weight = weight.data();
    plan.bias = bias.data();
    const std::int64_t items = static_cast<std::int64_t>(plan.phases.size()) * plan.panels;
    const std::int64_t parts =
        std::clamp<std::int64_t>((enough_tasks + tasks - 1) / tasks, 1, items);
    parallel_for(tasks * parts, [&](std::int64_t task) { run_task(plan, task, parts); });
}

void coarse_from_fine(const ConvGeometry& g, const float* fine, const float* weight,
                      const float* bias, float* coarse) {
    run(forward_pass(g, fine, weight, bias, coarse), {gather_coarse_from_fine(g)});
}

void fine_from_coarse(const ConvGeometry& g, const float* coarse, const float* weight,
                      const float* bias, float* fine) {
    run(backward_pass(g, coarse, weight, bias, fine), gather_fine_from_coarse(g));
}

bool accepts(const ConvGeometry&) { return true; }

}  // namespace

extern const ConvAlgorithm conv_direct = {
    "direct", accepts, accepts, coarse_from_fine, fine_from_coarse, conv_direct_weight_gradient};

}  // namespace voxelgrad

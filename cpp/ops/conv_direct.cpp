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
constexpr std::int64_t enough_tasks = 32;  // fewer are cut further, by panels

struct Panels {
    std::int64_t width;  // channels of a panel
    std::int64_t count;  // panels of a group
    std::int64_t size;   // floats of a panel
};

Panels panels_of(const Pass& pass, const GatherPhase& phase) {
    const std::int64_t width = conv_direct_kernels().panel;
    const std::int64_t taps = static_cast<std::int64_t>(phase.taps.size());
    return {width, (pass.target.channels + width - 1) / width, pass.source.channels * taps * width};
}

// [group][panel][channel block][tap][channel][panel channel], zero beyond the last channel.
void pack_weight(const Pass& pass, const GatherPhase& phase, const Panels& panels, float* packed) {
    parallel_for(pass.geometry.groups * panels.count, [&](std::int64_t at) {
        const std::int64_t group = at / panels.count, first = at % panels.count * panels.width;
        const std::int64_t valid = std::min(panels.width, pass.target.channels - first);
        float* out = packed + at * panels.size;
        for (std::int64_t start = 0; start < pass.source.channels; start += strip_block) {
            const std::int64_t end = std::min(start + strip_block, pass.source.channels);
            for (const GatherTap& tap : phase.taps)
                for (std::int64_t c = start; c < end; ++c, out += panels.width) {
                    for (std::int64_t k = 0; k < valid; ++k)
                        out[k] = pass.weight[pass.weight_index(group, first + k, c, tap.number)];
                    std::fill(out + valid, out + panels.width, 0.0f);
                }
        }
    });
}

// Bias by panels, zeros where there is none.
void pack_bias(const Pass& pass, const Panels& panels, float* packed) {
    const std::int64_t padded = panels.count * panels.width;
    std::fill(packed, packed + pass.geometry.groups * padded, 0.0f);
    if (pass.bias == nullptr) return;
    for (std::int64_t group = 0; group < pass.geometry.groups; ++group)
        std::copy_n(pass.bias + group * pass.target.channels, pass.target.channels,
                    packed + group * padded);
}

// What one phase needs beyond the pass.
struct Plan {
    const Pass& pass;
    const GatherPhase& phase;
    StripLayout strip;
    Panels panels;
    std::int64_t boxes[conv_axes];
    const float* weight;  // packed
    const float* bias;    // packed
    std::vector<std::int64_t> tap_offsets;
    bool stream;  // the target is written past the cache
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

// All rows of one box, for one panel.
void run_panel(const Plan& plan, const float* strip, std::int64_t image, std::int64_t group,
               std::int64_t panel, const std::int64_t* first, const std::int64_t* count) {
    const Pass& pass = plan.pass;
    const GatherPhase& phase = plan.phase;
    const std::int64_t all_channels = pass.geometry.groups * pass.target.channels;
    const std::int64_t channel = panel * plan.panels.width;
    const std::int64_t* extent = pass.target.extent;

    ConvRow row{};
    row.block_stride = plan.strip.block_stride;
    row.tap_offset = plan.tap_offsets.data();
    row.taps = static_cast<std::int64_t>(plan.tap_offsets.size());
    row.source_channels = pass.source.channels;
    row.weight = plan.weight + (group * plan.panels.count + panel) * plan.panels.size;
    row.bias = plan.bias + (group * plan.panels.count + panel) * plan.panels.width;
    row.output_stride = phase.step[2] * all_channels;
    row.pixels = static_cast<int>(count[2]);
    row.output_channels =
        static_cast<int>(std::min(plan.panels.width, pass.target.channels - channel));
    row.stream = plan.stream && row.output_channels == plan.panels.width;
    const auto kernel = conv_direct_kernels().row;
    for (std::int64_t d = 0; d < count[0]; ++d)
        for (std::int64_t h = 0; h < count[1]; ++h) {
            const std::int64_t depth = phase.start[0] + phase.step[0] * (first[0] + d);
            const std::int64_t height = phase.start[1] + phase.step[1] * (first[1] + h);
            const std::int64_t column = phase.start[2] + phase.step[2] * first[2];
            const std::int64_t pixel =
                ((image * extent[0] + depth) * extent[1] + height) * extent[2] + column;
            row.strip = strip + plan.strip.offset(phase.unit[0] * d, phase.unit[1] * h, 0);
            row.output =
                pass.target_data + pixel * all_channels + group * pass.target.channels + channel;
            kernel(row);
        }
}

// One task: fill the strip of one box of one image and group, then run a range of panels on it.
void run_task(const Plan& plan, std::int64_t task, std::int64_t panel_parts) {
    const Pass& pass = plan.pass;
    const std::int64_t part = task % panel_parts;
    std::int64_t rest = task / panel_parts;
    const std::int64_t group = rest % pass.geometry.groups;
    rest /= pass.geometry.groups;
    std::int64_t first[conv_axes], count[conv_axes], origin[conv_axes];
    for (int a = conv_axes - 1; a >= 0; --a) {
        first[a] = rest % plan.boxes[a] * plan.strip.box[a];
        count[a] = std::min(plan.strip.box[a], plan.phase.count[a] - first[a]);
        origin[a] = plan.phase.unit[a] * first[a] + plan.phase.low[a];
        rest /= plan.boxes[a];
    }
    const std::int64_t image = rest, all = pass.geometry.groups * pass.source.channels;
    StripSource source{
        pass.source_data + image * pass.source.pixels() * all + group * pass.source.channels,
        {pass.source.extent[0], pass.source.extent[1], pass.source.extent[2]},
        all,
        pass.source.channels};
    Workspace<float> strip(plan.strip.size);
    if (!plan.phase.taps.empty()) fill_strip(plan.strip, source, origin, strip.data());
    const std::int64_t begin = part * plan.panels.count / panel_parts;
    const std::int64_t end = (part + 1) * plan.panels.count / panel_parts;
    for (std::int64_t panel = begin; panel < end; ++panel)
        run_panel(plan, strip.data(), image, group, panel, first, count);
}

void run_phase(const Pass& pass, const GatherPhase& phase) {
    if (phase.count[0] * phase.count[1] * phase.count[2] == 0) return;
    const Panels panels = panels_of(pass, phase);
    Workspace<float> weight(pass.geometry.groups * panels.count * panels.size + 1);
    Workspace<float> bias(pass.geometry.groups * panels.count * panels.width);
    pack_weight(pass, phase, panels, weight.data());
    pack_bias(pass, panels, bias.data());

    Plan plan{pass,        phase, plan_strip(phase, pass.source.channels, strip_budget),
              panels,      {},    weight.data(),
              bias.data(), {},    worth_streaming(pass)};
    for (const GatherTap& tap : phase.taps)
        plan.tap_offsets.push_back(plan.strip.offset(tap.offset[0] - phase.low[0],
                                                     tap.offset[1] - phase.low[1],
                                                     tap.offset[2] - phase.low[2]));
    std::int64_t tasks = pass.geometry.batch * pass.geometry.groups;
    for (int a = 0; a < conv_axes; ++a) {
        plan.boxes[a] = (phase.count[a] + plan.strip.box[a] - 1) / plan.strip.box[a];
        tasks *= plan.boxes[a];
    }
    if (tasks == 0) return;
    const std::int64_t panel_parts =
        std::clamp<std::int64_t>((enough_tasks + tasks - 1) / tasks, 1, panels.count);
    parallel_for(tasks * panel_parts,
                 [&](std::int64_t task) { run_task(plan, task, panel_parts); });
}

void coarse_from_fine(const ConvGeometry& g, const float* fine, const float* weight,
                      const float* bias, float* coarse) {
    run_phase(forward_pass(g, fine, weight, bias, coarse), gather_coarse_from_fine(g));
}

void fine_from_coarse(const ConvGeometry& g, const float* coarse, const float* weight,
                      const float* bias, float* fine) {
    const Pass pass = backward_pass(g, coarse, weight, bias, fine);
    for (const GatherPhase& phase : gather_fine_from_coarse(g)) run_phase(pass, phase);
}

bool accepts(const ConvGeometry&) { return true; }

}  // namespace

extern const ConvAlgorithm conv_direct = {
    "direct", accepts, accepts, coarse_from_fine, fine_from_coarse, conv_direct_weight_gradient};

}  // namespace voxelgrad

// Direct convolution: strips of the source in the L2 cache, weights packed into panels, register
// blocks of pixels x channels (after Georganas et al., "Anatomy of high-performance deep learning
// convolutions on SIMD architectures", SC 2018).
#include "kernels/conv_direct.hpp"

#include <algorithm>

#include "core/kept_weight.hpp"
#include "core/parallel_for.hpp"
#include "core/pool.hpp"
#include "core/split.hpp"
#include "core/streaming.hpp"
#include "kernels/conv_planar.hpp"
#include "kernels/copy.hpp"
#include "kernels/transpose.hpp"
#include "ops/conv_algorithms.hpp"
#include "ops/conv_direct_weight.hpp"
#include "ops/conv_images.hpp"
#include "ops/conv_pass.hpp"
#include "ops/conv_sparse.hpp"
#include "ops/conv_strip.hpp"
#include "ops/conv_written.hpp"

namespace voxelgrad {
namespace {

constexpr std::int64_t strip_budget = 96 * 1024;  // floats: 384 KiB of the L2 cache

// The weight of one phase: [group][panel][channel block][tap][channel][panel channel]. Where the
// strip holds whole pixels, a run of taps counts as one tap of so many more channels.
struct PhaseWeight {
    const GatherPhase& phase;
    std::int64_t panel_size;                // floats of a panel
    std::int64_t first;                     // where it begins in the packed weights
    std::int64_t run;                       // taps of a run
    std::vector<std::int64_t> run_offsets;  // in the strip, floats

    const std::int64_t* offset_of_run(std::int64_t number) const {
        return phase.taps[static_cast<std::size_t>(number * run)].offset;
    }
};

// What the phases of a pass share: the strip that holds the source of them all, and the panels.
struct Plan {
    const Pass& pass;
    GatherPhase whole;  // all phases: the largest count, the whole range of offsets, no taps
    StripLayout strip;
    void (*row)(const ConvRow&);
    std::int64_t width;   // channels of a panel
    std::int64_t panels;  // of a group
    std::vector<PhaseWeight> phases;
    const float* weight;  // packed
    const float* bias;    // packed
    bool stream;          // the target is written past the cache
};

// With few target channels vectors run over pixels instead of channels.
bool is_planar(const Pass& pass) { return pass.target.channels <= planar_channels; }

// A target is written past the cache in panels, which must be whole cache lines.
bool streams(const Pass& pass, std::int64_t width) {
    const std::int64_t channels = pass.geometry.groups * pass.target.channels;
    return width * static_cast<std::int64_t>(sizeof(float)) % cache_line == 0 &&
           worth_streaming(pass.target_data, pass.geometry.batch * pass.target.pixels() * channels,
                           pass.target.channels);
}

// Boxes of a kernel with one tap share no pixels: rather than that several tasks fill the same
// strip, there may be as many boxes as tasks, but not of fewer pixels than the registers have room
// for twice.
std::int64_t budget_of(const Pass& pass) {
    constexpr std::int64_t fewest_pixels = 28;
    const ConvGeometry& g = pass.geometry;
    if (g.taps() > 1) return strip_budget;
    const std::int64_t channels = divide_up(pass.source.channels, strip_block) * strip_block;
    const std::int64_t pixels =
        std::max(g.batch * pass.source.pixels() / enough_tasks(g), fewest_pixels);
    return std::min(strip_budget, pixels * channels);
}

Plan make_plan(const Pass& pass, const std::vector<GatherPhase>& phases) {
    const GatherPhase whole = merged(phases);
    const std::int64_t channels = pass.source.channels;
    const bool planar = is_planar(pass);
    const StripOrder order = planar ? StripOrder::planes : broadcast_order(channels);
    const std::int64_t width = planar ? pass.target.channels : conv_direct_kernels().panel;
    Plan plan{pass,
              whole,
              plan_strip(whole, order, channels, budget_of(pass)),
              planar ? conv_planar_kernels().row : conv_direct_kernels().row,
              width,
              0,
              {},
              nullptr,
              nullptr,
              streams(pass, width)};
    plan.panels = divide_up(pass.target.channels, plan.width);
    std::int64_t first = 0;
    for (const GatherPhase& phase : phases) {
        const std::int64_t taps = static_cast<std::int64_t>(phase.taps.size());
        const bool runs = plan.strip.order == StripOrder::pixels;
        PhaseWeight weight{phase,
                           pass.source.channels * taps * plan.width,
                           first,
                           runs ? run_of_taps(phase) : 1,
                           {}};
        for (std::int64_t number = 0; number * weight.run < taps; ++number) {
            const std::int64_t* offset = weight.offset_of_run(number);
            weight.run_offsets.push_back(plan.strip.offset(
                offset[0] - whole.low[0], offset[1] - whole.low[1], offset[2] - whole.low[2]));
        }
        first += pass.geometry.groups * plan.panels * weight.panel_size;
        plan.phases.push_back(weight);
    }
    return plan;
}

// `channels` source channels of one tap of the panel that begins at target channel `first`; zero
// beyond the last target channel.
void pack_channels(const Plan& plan, std::int64_t weight_index, std::int64_t first,
                   std::int64_t channels, float* out) {
    const Pass& pass = plan.pass;
    const float* weight = pass.weight + weight_index;
    const std::int64_t valid = std::min(plan.width, pass.target.channels - first);
    if (pass.target_step() == 1)
        for (std::int64_t c = 0; c < channels; ++c)
            std::copy_n(weight + c * pass.source_step(), valid, out + c * plan.width);
    else
        transpose_kernels<float>().matrix(weight, pass.target_step(), out, plan.width, channels,
                                          valid, false);
    for (std::int64_t c = 0; valid < plan.width && c < channels; ++c)
        std::fill_n(out + c * plan.width + valid, plan.width - valid, 0.0f);
}

void pack_panel(const Plan& plan, const PhaseWeight& weight, std::int64_t at, float* packed) {
    const Pass& pass = plan.pass;
    const std::int64_t group = at / plan.panels, first = at % plan.panels * plan.width;
    float* out = packed + weight.first + at * weight.panel_size;
    for (std::int64_t start = 0; start < pass.source.channels; start += plan.strip.block) {
        const std::int64_t channels = std::min(plan.strip.block, pass.source.channels - start);
        for (const GatherTap& tap : weight.phase.taps) {
            pack_channels(plan, pass.weight_index(group, first, start, tap.number), first, channels,
                          out);
            out += channels * plan.width;
        }
    }
}

void pack_weight(const Plan& plan, const PhaseWeight& weight, float* packed) {
    const ConvGeometry& g = plan.pass.geometry;
    const std::int64_t panels = g.groups * plan.panels;
    parallel_for_ranges(panels, divide_up(panels, enough_tasks(g)),
                        [&](std::int64_t begin, std::int64_t end) {
                            for (std::int64_t at = begin; at < end; ++at)
                                pack_panel(plan, weight, at, packed);
                        });
}

// Bias by panels, zeros where there is none.
void pack_bias(const Plan& plan, float* packed) {
    const Pass& pass = plan.pass;
    const std::int64_t padded = plan.panels * plan.width;
    std::fill(packed, packed + pass.geometry.groups * padded, 0.0f);
    if (pass.epilogue.bias == nullptr) return;
    for (std::int64_t group = 0; group < pass.geometry.groups; ++group)
        std::copy_n(pass.epilogue.bias + group * pass.target.channels, pass.target.channels,
                    packed + group * padded);
}

// Leaves out the first and last runs of taps that see only padding from row (depth, height).
void trim_taps(const Pass& pass, const PhaseWeight& weight, std::int64_t depth, std::int64_t height,
               ConvRow& row) {
    const std::int64_t at[] = {weight.phase.unit[0] * depth, weight.phase.unit[1] * height};
    const auto outside = [&](std::int64_t run) {
        const std::int64_t* offset = weight.offset_of_run(run);
        for (int a = 0; a < 2; ++a)
            if (at[a] + offset[a] < 0 || at[a] + offset[a] >= pass.source.extent[a]) return true;
        return false;
    };
    std::int64_t begin = 0, end = static_cast<std::int64_t>(weight.run_offsets.size());
    row.taps_after = end;
    while (end > begin && outside(end - 1)) --end;
    while (end > begin && outside(begin)) ++begin;
    row.tap_offset = weight.run_offsets.data() + begin;
    row.taps = end - begin;
    row.taps_before = begin;
    row.taps_after -= end;
}

// All rows of one box, for one phase and panel.
void run_panel(const Plan& plan, const PhaseWeight& weight, std::int64_t panel,
               const StripBox& whole_box, std::int64_t group, const float* strip) {
    const Pass& pass = plan.pass;
    const GatherPhase& phase = weight.phase;
    const std::int64_t all_channels = pass.geometry.groups * pass.target.channels;
    const std::int64_t channel = panel * plan.width, at = group * plan.panels + panel;
    const StripBox box = clipped(whole_box, phase);
    if (box.count[2] <= 0) return;

    ConvRow row{};
    row.block = plan.strip.block * weight.run;
    row.pixel_step = plan.strip.pixel_step;
    row.block_stride = plan.strip.block_stride;
    row.source_channels = pass.source.channels * weight.run;
    row.weight = plan.weight + weight.first + at * weight.panel_size;
    row.bias = plan.bias + at * plan.width;
    row.slope = pass.epilogue.slope;
    row.output_stride = phase.step[2] * all_channels;
    row.pixels = static_cast<int>(box.count[2]);
    row.output_channels = static_cast<int>(std::min(plan.width, pass.target.channels - channel));
    row.stream = plan.stream && row.output_channels == plan.width;
    for (std::int64_t d = 0; d < box.count[0]; ++d)
        for (std::int64_t h = 0; h < box.count[1]; ++h) {
            const std::int64_t pixel = row_start(phase, box, pass.target.extent, d, h);
            trim_taps(pass, weight, box.first[0] + d, box.first[1] + h, row);
            row.strip = strip + plan.strip.offset(phase.unit[0] * d, phase.unit[1] * h, 0);
            row.output =
                pass.target_data + pixel * all_channels + group * pass.target.channels + channel;
            plan.row(row);
        }
}

// One task: fill the strip of one box of one image and group, then run a part of the phases and
// panels on it.
void run_task(const Plan& plan, std::int64_t task, std::int64_t parts) {
    const Pass& pass = plan.pass;
    const std::int64_t part = task % parts, groups = pass.geometry.groups;
    const std::int64_t group = task / parts % groups;
    const StripBox box = box_at(plan.strip.box, plan.whole, task / parts / groups);
    const StripSource source{pass.source_data + group * pass.source.channels, pass.source.extent,
                             groups * pass.source.channels, pass.source.channels};
    Workspace<float> strip(plan.strip.size);
    fill_strip(plan.strip, plan.whole, source, box, strip.data());
    const std::int64_t items = static_cast<std::int64_t>(plan.phases.size()) * plan.panels;
    for (std::int64_t item = part * items / parts; item < (part + 1) * items / parts; ++item)
        run_panel(plan, plan.phases[static_cast<std::size_t>(item / plan.panels)],
                  item % plan.panels, box, group, strip.data());
    if (plan.stream)
        copy_kernels().fence();
    else if (pass.epilogue.written)
        tell_of_panels(*pass.epilogue.written, pass.target.extent, box, part * items / parts,
                       (part + 1) * items / parts, plan.width, pass.target.channels);
}

void run(const Pass& pass, const std::vector<GatherPhase>& phases) {
    if (phases.empty()) return;  // a target without pixels
    if (conv_images_serves(pass)) return conv_images_pass(pass, phases[0]);
    Plan plan = make_plan(pass, phases);
    const std::int64_t tasks =
        pass.geometry.batch * pass.geometry.groups * boxes_of_image(plan.strip.box, plan.whole);
    if (tasks == 0) return;
    const PhaseWeight& last = plan.phases.back();
    const std::int64_t rows = pass.geometry.groups * plan.panels;
    const PackedWeight<float> weight(&conv_direct_kernels(), pass.weight,
                                     pass.geometry.weight_size(),
                                     last.first + rows * last.panel_size + 1, [&](float* packed) {
                                         for (const PhaseWeight& phase : plan.phases)
                                             pack_weight(plan, phase, packed);
                                     });
    Workspace<float> bias(rows * plan.width);
    pack_bias(plan, bias.data());
    plan.weight = weight.data();
    plan.bias = bias.data();
    const std::int64_t items = static_cast<std::int64_t>(plan.phases.size()) * plan.panels;
    const std::int64_t parts =
        std::clamp<std::int64_t>(divide_up(enough_tasks(pass.geometry), tasks), 1, items);
    parallel_for(tasks * parts, [&](std::int64_t task) { run_task(plan, task, parts); });
}

void coarse_from_fine(const ConvGeometry& g, const float* fine, const float* weight,
                      const ConvEpilogue& epilogue, float* coarse) {
    run(forward_pass(g, fine, weight, epilogue, coarse), {gather_coarse_from_fine(g)});
}

void fine_from_coarse(const ConvGeometry& g, const float* coarse, const float* weight,
                      const ConvEpilogue& epilogue, float* fine) {
    if (epilogue.bias == nullptr && epilogue.slope == 1.0f && conv_sparse_serves(g, coarse))
        return conv_sparse_spread(g, coarse, weight, fine);
    run(backward_pass(g, coarse, weight, epilogue, fine), gather_fine_from_coarse(g));
}

bool accepts(const ConvGeometry&) { return true; }

}  // namespace

extern const ConvAlgorithm conv_direct = {
    "direct", accepts, accepts, coarse_from_fine, fine_from_coarse, conv_direct_weight_gradient};

}  // namespace voxelgrad

// The weight gradient where both grids have few channels: vectors run over pixels, so that no lane
// is empty however few the channels are.
//
// Both grids are turned into planes of one channel. Boxes of pixels are dealt to chunks that the
// geometry alone decides; each lane sums by itself until its chunk is done, and the chunks are
// added in order.
#include <algorithm>

#include "core/parallel_for.hpp"
#include "core/pool.hpp"
#include "core/split.hpp"
#include "kernels/conv_planar.hpp"
#include "ops/conv_direct_weight.hpp"
#include "ops/conv_images.hpp"
#include "ops/conv_pass.hpp"
#include "ops/conv_strip.hpp"

namespace voxelgrad {
namespace {

constexpr std::int64_t strip_budget = 24 * 1024;  // floats; the other grid's planes are as large

struct Plan {
    const ConvGeometry& geometry;
    const float* fine;
    const float* coarse;
    GatherPhase phase;
    StripLayout strip;                     // of the fine grid
    std::vector<std::int64_t> tap_offset;  // in the strip, floats
    std::int64_t lanes, row_size;          // of a vector; of a row of coarse planes, whole vectors
    std::int64_t units, chunks;            // boxes of all images; partial gradients

    std::int64_t taps() const { return static_cast<std::int64_t>(tap_offset.size()); }
    // [fine channel][tap][coarse channel]
    std::int64_t gradient_size() const {
        return geometry.fine_channels * taps() * geometry.coarse_channels;
    }
};

Plan make_plan(const ConvGeometry& g, const float* fine, const float* coarse) {
    const GatherPhase phase = gather_coarse_from_fine(g);
    Plan plan{g, fine, coarse, phase, {}, {}, conv_planar_kernels().lanes, 0, 0, 1};
    plan.strip = plan_strip(phase, StripOrder::planes, g.fine_channels, strip_budget);
    for (const GatherTap& tap : phase.taps)
        plan.tap_offset.push_back(plan.strip.offset(tap.offset[0] - phase.low[0],
                                                    tap.offset[1] - phase.low[1],
                                                    tap.offset[2] - phase.low[2]));
    plan.row_size = divide_up(plan.strip.box[2], plan.lanes) * plan.lanes;
    plan.units = g.batch * boxes_of_image(plan.strip.box, phase);
    plan.chunks =
        std::clamp<std::int64_t>(enough_tasks(g), 1, std::max<std::int64_t>(plan.units, 1));
    return plan;
}

// Turns the coarse pixels of a box into [row][channel][pixel] and finds where the strip's rows are.
void turn_rows(const Plan& plan, const StripBox& box, float* planes, std::int64_t* row_offset) {
    const std::int64_t channels = plan.geometry.coarse_channels;
    for (std::int64_t row = 0; row < box.count[0] * box.count[1]; ++row) {
        const std::int64_t d = row / box.count[1], h = row % box.count[1];
        const std::int64_t pixel = row_start(plan.phase, box, plan.geometry.coarse, d, h);
        conv_planar_kernels().turn(plan.coarse + pixel * channels, box.count[2],
                                   static_cast<int>(channels),
                                   planes + row * channels * plan.row_size, plan.row_size);
        row_offset[row] = plan.strip.offset(plan.phase.unit[0] * d, plan.phase.unit[1] * h, 0);
    }
}

void run_chunk(const Plan& plan, std::int64_t chunk, float* gradient) {
    const ConvGeometry& g = plan.geometry;
    const std::int64_t rows = plan.strip.box[0] * plan.strip.box[1];
    const std::int64_t sums_of_channel = plan.taps() * g.coarse_channels * plan.lanes;
    Workspace<float> sums(g.fine_channels * sums_of_channel);
    Workspace<float> strip(plan.strip.size), planes(rows * g.coarse_channels * plan.row_size);
    Workspace<std::int64_t> row_offset(rows);
    std::fill_n(sums.data(), g.fine_channels * sums_of_channel, 0.0f);
    const StripSource source{plan.fine, g.fine, g.fine_channels, g.fine_channels};
    PlanarProducts products{};
    products.row_offset = row_offset.data();
    products.tap_offset = plan.tap_offset.data();
    products.taps = static_cast<int>(plan.taps());
    products.planes = planes.data();
    products.channels = static_cast<int>(g.coarse_channels);
    products.row_size = plan.row_size;
    const std::int64_t end = (chunk + 1) * plan.units / plan.chunks;
    for (std::int64_t unit = chunk * plan.units / plan.chunks; unit < end; ++unit) {
        const StripBox box = box_at(plan.strip.box, plan.phase, unit);
        fill_strip(plan.strip, plan.phase, source, box, strip.data());
        turn_rows(plan, box, planes.data(), row_offset.data());
        products.rows = box.count[0] * box.count[1];
        products.pixels = box.count[2];
        for (std::int64_t c = 0; c < g.fine_channels; ++c) {
            products.strip = strip.data() + c * plan.strip.block_stride;
            products.sums = sums.data() + c * sums_of_channel;
            conv_planar_kernels().add_products(products);
        }
    }
    conv_planar_kernels().sum_lanes(sums.data(), plan.gradient_size(), gradient);
}

}  // namespace

bool conv_planar_weight_serves(const ConvGeometry& g) {
    return g.groups == 1 && g.taps() > 1 && g.fine_channels <= planar_channels &&
           g.coarse_channels <= planar_channels;
}

void combine_planar_gradients(const ConvGeometry& g, const GatherPhase& phase, std::int64_t chunks,
                              float* partial, float* grad_weight) {
    const std::int64_t size =
        g.fine_channels * g.coarse_channels * static_cast<std::int64_t>(phase.taps.size());
    for (std::int64_t chunk = 1; chunk < chunks; ++chunk)
        for (std::int64_t i = 0; i < size; ++i) partial[i] += partial[chunk * size + i];
    std::fill_n(grad_weight, g.weight_size(), 0.0f);  // taps that meet nothing but padding
    const float* value = partial;
    for (std::int64_t c = 0; c < g.fine_channels; ++c)
        for (const GatherTap& tap : phase.taps)
            for (std::int64_t k = 0; k < g.coarse_channels; ++k)
                grad_weight[g.weight_index(0, k, c, tap.number)] = *value++;
}

void conv_planar_weight_gradient(const ConvGeometry& g, const float* fine, const float* coarse,
                                 float* grad_weight) {
    if (conv_images_weight_serves(g))
        return conv_images_weight_gradient(g, fine, coarse, grad_weight);
    const Plan plan = make_plan(g, fine, coarse);
    const std::int64_t size = plan.gradient_size();
    Workspace<float> partial(plan.chunks * size);
    parallel_for(plan.chunks, [&](std::int64_t chunk) {
        run_chunk(plan, chunk, partial.data() + chunk * size);
    });
    combine_planar_gradients(g, plan.phase, plan.chunks, partial.data(), grad_weight);
}

}  // namespace voxelgrad

// A task takes some target rows of a group of images: it turns the source rows that they need into
// vectors, sums pixel by pixel, and turns each row back.
#include "ops/conv_images.hpp"

#include "core/parallel_for.hpp"
#include "core/pool.hpp"
#include "core/split.hpp"
#include "kernels/conv_images.hpp"
#include "kernels/conv_planar.hpp"

namespace voxelgrad {
namespace {

constexpr std::int64_t strip_budget = 96 * 1024;  // floats: 384 KiB of the L2 cache
constexpr std::int64_t fewest_rows = 2;           // of a task: it turns the rows around them, too
constexpr std::int64_t longest_row = 32;

struct Plan {
    const Pass& pass;
    const GatherPhase& phase;
    ImageGroups groups;
    std::int64_t row_parts;  // of the target
    std::int64_t tap_rows, tap_columns;
    const float* weight;  // [tap][source channel][target channel]
    const float* bias;
    const std::int64_t* places;  // of the numbers of a source row

    std::int64_t source_row() const { return pass.source.extent[2] * pass.source.channels; }
    std::int64_t target_row() const { return pass.target.extent[2] * pass.target.channels; }
};

struct Range {
    std::int64_t begin, end;
    std::int64_t size() const { return end - begin; }
};

// Of `taps` neighbouring taps, the first at `offset`, those that see the image from `at`.
Range taps_inside(std::int64_t at, std::int64_t offset, std::int64_t taps, std::int64_t extent) {
    const std::int64_t begin = std::clamp<std::int64_t>(-(at + offset), 0, taps);
    return {begin, std::clamp(extent - (at + offset), begin, taps)};
}

// How many tasks share the target rows of a group.
std::int64_t row_parts(const Sides& sides, std::int64_t groups) {
    const std::int64_t most = sides.target.extent[1] / fewest_rows;
    return std::clamp<std::int64_t>(divide_up(enough_tasks(sides.geometry), groups), 1,
                                    std::max<std::int64_t>(most, 1));
}

ImageGroups groups_of(const Sides& sides) {
    const int channels = static_cast<int>(sides.target.channels);
    return image_groups(sides.geometry.batch, conv_images_kernels().most_vectors(channels));
}

void pack_weight(const Pass& pass, const GatherPhase& phase, float* packed) {
    for (const GatherTap& tap : phase.taps)
        for (std::int64_t c = 0; c < pass.source.channels; ++c)
            for (std::int64_t k = 0; k < pass.target.channels; ++k)
                *packed++ = pass.weight[pass.weight_index(0, k, c, tap.number)];
}

void fill_strip(const Plan& plan, std::int64_t group, Range rows, float* strip) {
    const std::int64_t row_size = plan.source_row();
    const std::int64_t image = plan.pass.source.extent[1] * row_size;
    const float* source = plan.pass.source_data + plan.groups.first(group) * image;
    for (std::int64_t row = rows.begin; row < rows.end;
         ++row, strip += row_size * plan.groups.size())
        conv_images_kernels().to_vectors(source + row * row_size, image, plan.groups.images(group),
                                         row_size, plan.places, strip);
}

// One target row into vectors; `first`: the strip's first source row.
void run_row(const Plan& plan, std::int64_t row, std::int64_t first, const float* strip,
             float* output) {
    const Pass& pass = plan.pass;
    const std::int64_t *low = plan.phase.low, *extent = pass.source.extent;
    const std::int64_t number = pass.source.channels * plan.groups.size();
    const std::int64_t tap = pass.source.channels * pass.target.channels;
    const Range rows = taps_inside(row, low[1], plan.tap_rows, extent[1]);
    ImagesPixel pixel{};
    pixel.rows = rows.size();
    pixel.strip_step = extent[2] * number;
    pixel.weight_step = plan.tap_columns * tap;
    pixel.bias = plan.bias;
    pixel.slope = pass.epilogue.slope;
    pixel.channels = static_cast<int>(pass.target.channels);
    pixel.vectors = static_cast<int>(plan.groups.vectors);
    for (std::int64_t column = 0; column < pass.target.extent[2]; ++column) {
        const Range columns = taps_inside(column, low[2], plan.tap_columns, extent[2]);
        pixel.steps = columns.size() * pass.source.channels;
        const std::int64_t source_row = row + low[1] + rows.begin - first;
        const std::int64_t source_column = column + low[2] + columns.begin;
        pixel.strip = strip + source_row * pixel.strip_step + source_column * number;
        pixel.weight = plan.weight + rows.begin * pixel.weight_step + columns.begin * tap;
        pixel.output = output + column * pass.target.channels * plan.groups.size();
        conv_images_kernels().pixel(pixel);
    }
}

void run_task(const Plan& plan, std::int64_t task) {
    const Pass& pass = plan.pass;
    const std::int64_t group = task / plan.row_parts, part = task % plan.row_parts;
    const std::int64_t height = pass.target.extent[1], image = height * plan.target_row();
    const Range rows{part * height / plan.row_parts, (part + 1) * height / plan.row_parts};
    const std::int64_t last = pass.source.extent[1];
    const std::int64_t begin = std::clamp<std::int64_t>(rows.begin + plan.phase.low[1], 0, last);
    const Range source{begin, std::clamp(rows.end + plan.phase.high[1], begin, last)};
    const Workspace<float> strip(source.size() * plan.source_row() * plan.groups.size() + 1);
    const Workspace<float> output(plan.target_row() * plan.groups.size());
    fill_strip(plan, group, source, strip.data());
    float* target = pass.target_data + plan.groups.first(group) * image;
    for (std::int64_t row = rows.begin; row < rows.end; ++row) {
        run_row(plan, row, source.begin, strip.data(), output.data());
        conv_images_kernels().from_vectors(output.data(), plan.groups.size(), plan.target_row(),
                                           target + row * plan.target_row(), image,
                                           plan.groups.images(group));
    }
}

}  // namespace

ImageGroups image_groups(std::int64_t batch, std::int64_t most_vectors) {
    const std::int64_t lanes = conv_images_kernels().lanes, all = divide_up(batch, lanes);
    const std::int64_t vectors = even_part(all, most_vectors);
    return {batch, lanes, vectors, divide_up(all, vectors)};
}

bool images_fill_vectors(const ConvGeometry& g, std::int64_t columns) {
    for (int a = 0; a < conv_axes; ++a)
        if (g.stride[a] != 1 || g.dilation[a] != 1) return false;
    const bool flat = g.fine[0] == 1 && g.coarse[0] == 1 && g.kernel[0] == 1;
    const std::int64_t lanes = conv_images_kernels().lanes;
    const std::int64_t full = divide_up(g.batch, lanes) * lanes;
    return flat && g.groups == 1 && g.taps() > 1 && g.batch > 0 && columns > 0 &&
           columns <= longest_row && 5 * g.batch >= 4 * full;
}

bool conv_images_serves(const Sides& sides) {
    const ConvGeometry& g = sides.geometry;
    if (sides.target.channels > planar_channels || !images_fill_vectors(g, sides.target.extent[2]))
        return false;
    const ImageGroups groups = groups_of(sides);
    const std::int64_t rows =
        divide_up(sides.target.extent[1], row_parts(sides, groups.groups)) + g.kernel[1] - 1;
    const std::int64_t row = sides.source.extent[2] * sides.source.channels * groups.size();
    return row > 0 && std::min(rows, sides.source.extent[1]) * row <= strip_budget;
}

void conv_images_pass(const Pass& pass, const GatherPhase& phase) {
    const ConvGeometry& g = pass.geometry;
    const std::int64_t channels = pass.target.channels;
    Plan plan{pass, phase, groups_of(pass), 0, g.kernel[1], g.kernel[2], nullptr, nullptr, nullptr};
    plan.row_parts = row_parts(pass, plan.groups.groups);
    const Workspace<float> weight(g.weight_size()), bias(channels);
    pack_weight(pass, phase, weight.data());
    std::fill_n(bias.data(), channels, 0.0f);
    if (pass.epilogue.bias != nullptr) std::copy_n(pass.epilogue.bias, channels, bias.data());
    const Workspace<std::int64_t> places(plan.source_row());
    for (std::int64_t i = 0; i < plan.source_row(); ++i) places[i] = i * plan.groups.size();
    plan.weight = weight.data();
    plan.bias = bias.data();
    plan.places = places.data();
    parallel_for(plan.groups.groups * plan.row_parts,
                 [&](std::int64_t task) { run_task(plan, task); });
}

}  // namespace voxelgrad

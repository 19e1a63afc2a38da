// The weight gradient of small images with few channels on both sides: as conv_planar_weight.cpp,
// but each pixel of a plane is a vector of images.
//
// A unit is a vector of images and some target rows. Units are dealt to chunks that the geometry
// alone decides; each lane sums by itself until its chunk is done.
#include <algorithm>

#include "core/parallel_for.hpp"
#include "core/pool.hpp"
#include "core/split.hpp"
#include "kernels/conv_images.hpp"
#include "kernels/conv_planar.hpp"
#include "ops/conv_direct_weight.hpp"
#include "ops/conv_images.hpp"

namespace voxelgrad {
namespace {

constexpr std::int64_t unit_budget = 16 * 1024;  // floats of both sides: near the first cache

struct Plan {
    const ConvGeometry& geometry;
    const float* fine;
    const float* coarse;
    GatherPhase phase;
    ImageGroups groups;
    std::int64_t rows, row_parts;  // target rows of a unit, units of a group
    std::int64_t columns, plane;   // of the fine strip: pixels of a row, floats of a channel
    std::int64_t fine_numbers;     // of an image's row
    const std::int64_t *fine_places, *coarse_places;
    std::int64_t chunks;

    std::int64_t units() const { return groups.groups * row_parts; }
    std::int64_t strip_rows() const { return rows + geometry.kernel[1] - 1; }
    std::int64_t strip_row() const { return columns * groups.lanes; }
    std::int64_t coarse_row() const { return geometry.coarse[2] * geometry.coarse_channels; }
    std::int64_t taps() const { return static_cast<std::int64_t>(phase.taps.size()); }
    std::int64_t gradient_size() const {
        return geometry.fine_channels * taps() * geometry.coarse_channels;
    }
};

Plan make_plan(const ConvGeometry& g, const float* fine, const float* coarse) {
    Plan plan{g,
              fine,
              coarse,
              gather_coarse_from_fine(g),
              image_groups(g.batch, 1),
              1,
              1,
              0,
              0,
              0,
              nullptr,
              nullptr,
              1};
    plan.columns = g.coarse[2] + g.kernel[2] - 1;
    plan.fine_numbers = std::min(g.fine[2], plan.columns - g.padding[2]) * g.fine_channels;
    const std::int64_t strip_row = plan.strip_row() * g.fine_channels;
    const std::int64_t fixed = (g.kernel[1] - 1) * strip_row;
    const std::int64_t row = strip_row + plan.coarse_row() * plan.groups.lanes;
    plan.rows = std::clamp<std::int64_t>((unit_budget - fixed) / row, 1, g.coarse[1]);
    plan.row_parts = divide_up(g.coarse[1], plan.rows);
    plan.plane = plan.strip_rows() * plan.strip_row();
    plan.chunks = std::min(enough_tasks(g), plan.units());
    return plan;
}

// Turns the source rows of a unit into planes; its margins left and right are zeros already.
void turn_fine(const Plan& plan, std::int64_t group, std::int64_t first_row, float* strip) {
    const ConvGeometry& g = plan.geometry;
    const std::int64_t row_size = g.fine[2] * g.fine_channels, image = g.fine[1] * row_size;
    const float* images = plan.fine + plan.groups.first(group) * image;
    for (std::int64_t r = 0; r < plan.strip_rows(); ++r, strip += plan.strip_row()) {
        const std::int64_t row = first_row + r - g.padding[1];
        if (row >= 0 && row < g.fine[1])
            conv_images_kernels().to_vectors(images + row * row_size, image,
                                             plan.groups.images(group), plan.fine_numbers,
                                             plan.fine_places, strip);
        else
            for (std::int64_t c = 0; c < g.fine_channels; ++c)
                std::fill_n(strip + c * plan.plane, plan.strip_row(), 0.0f);
    }
}

void turn_coarse(const Plan& plan, std::int64_t group, std::int64_t first_row, std::int64_t rows,
                 float* planes) {
    const std::int64_t row_size = plan.coarse_row(), image = plan.geometry.coarse[1] * row_size;
    const float* from = plan.coarse + plan.groups.first(group) * image + first_row * row_size;
    for (std::int64_t r = 0; r < rows; ++r)
        conv_images_kernels().to_vectors(from + r * row_size, image, plan.groups.images(group),
                                         row_size, plan.coarse_places,
                                         planes + r * row_size * plan.groups.lanes);
}

void run_chunk(const Plan& plan, std::int64_t chunk, float* gradient) {
    const ConvGeometry& g = plan.geometry;
    const std::int64_t lanes = plan.groups.lanes;
    const std::int64_t sums_of_channel = plan.taps() * g.coarse_channels * lanes;
    const Workspace<float> sums(g.fine_channels * sums_of_channel);
    const Workspace<float> strip(g.fine_channels * plan.plane);
    const Workspace<float> planes(plan.rows * plan.coarse_row() * lanes);
    const Workspace<std::int64_t> row_offset(plan.rows), tap_offset(plan.taps());
    std::fill_n(sums.data(), g.fine_channels * sums_of_channel, 0.0f);
    std::fill_n(strip.data(), g.fine_channels * plan.plane, 0.0f);
    for (std::int64_t r = 0; r < plan.rows; ++r) row_offset[r] = r * plan.strip_row();
    for (std::int64_t t = 0; t < plan.taps(); ++t)
        tap_offset[t] = (t / g.kernel[2] * plan.columns + t % g.kernel[2]) * lanes;
    PlanarProducts products{};
    products.row_offset = row_offset.data();
    products.tap_offset = tap_offset.data();
    products.taps = static_cast<int>(plan.taps());
    products.planes = planes.data();
    products.channels = static_cast<int>(g.coarse_channels);
    products.row_size = products.pixels = g.coarse[2] * lanes;
    const std::int64_t end = (chunk + 1) * plan.units() / plan.chunks;
    for (std::int64_t unit = chunk * plan.units() / plan.chunks; unit < end; ++unit) {
        const std::int64_t group = unit / plan.row_parts, first = unit % plan.row_parts * plan.rows;
        products.rows = std::min(plan.rows, g.coarse[1] - first);
        turn_fine(plan, group, first, strip.data());
        turn_coarse(plan, group, first, products.rows, planes.data());
        for (std::int64_t c = 0; c < g.fine_channels; ++c) {
            products.strip = strip.data() + c * plan.plane;
            products.sums = sums.data() + c * sums_of_channel;
            conv_planar_kernels().add_products(products);
        }
    }
    conv_planar_kernels().sum_lanes(sums.data(), plan.gradient_size(), gradient);
}

}  // namespace

bool conv_images_weight_serves(const ConvGeometry& g) {
    return g.padding[1] >= 0 && g.padding[2] >= 0 && g.fine_pixels() > 0 &&
           images_fill_vectors(g, g.coarse[2]) && g.fine_channels <= planar_channels &&
           g.coarse_channels <= planar_channels;
}

void conv_images_weight_gradient(const ConvGeometry& g, const float* fine, const float* coarse,
                                 float* grad_weight) {
    Plan plan = make_plan(g, fine, coarse);
    const std::int64_t lanes = plan.groups.lanes;
    const Workspace<std::int64_t> fine_places(plan.fine_numbers), coarse_places(plan.coarse_row());
    for (std::int64_t i = 0; i < plan.fine_numbers; ++i)
        fine_places[i] =
            i % g.fine_channels * plan.plane + (i / g.fine_channels + g.padding[2]) * lanes;
    for (std::int64_t i = 0; i < plan.coarse_row(); ++i)
        coarse_places[i] = (i % g.coarse_channels * g.coarse[2] + i / g.coarse_channels) * lanes;
    plan.fine_places = fine_places.data();
    plan.coarse_places = coarse_places.data();
    const std::int64_t size = plan.gradient_size();
    const Workspace<float> partial(plan.chunks * size);
    parallel_for(plan.chunks, [&](std::int64_t chunk) {
        run_chunk(plan, chunk, partial.data() + chunk * size);
    });
    combine_planar_gradients(g, plan.phase, plan.chunks, partial.data(), grad_weight);
}

}  // namespace voxelgrad

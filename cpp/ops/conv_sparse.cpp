// An image is a unit: its numbers are copied into an image with padding, where the window of a
// coarse pixel (y, x) begins at (y, x). Chunks of images, which the geometry alone decides, sum
// into partial gradients, which are added in order.
#include "ops/conv_sparse.hpp"

#include <algorithm>

#include "core/parallel_for.hpp"
#include "core/pool.hpp"
#include "core/split.hpp"
#include "kernels/conv_planar.hpp"
#include "kernels/conv_sparse.hpp"
#include "kernels/transpose.hpp"
#include "ops/conv_pass.hpp"

namespace voxelgrad {
namespace {

constexpr std::int64_t image_budget = 48 * 1024;  // floats of both sides: half of the L2 cache
constexpr std::int64_t fewest_images = 8;
constexpr std::int64_t sample_step = 8;  // of images

struct Plan {
    const ConvGeometry& geometry;
    SparseWindow window;
    std::int64_t row;                      // floats of a window's row
    std::int64_t padded_row, padded_size;  // floats of the padded image, with room behind it
    std::int64_t chunks;

    explicit Plan(const ConvGeometry& g) : geometry(g) {
        row = g.kernel[2] * g.fine_channels;
        padded_row = (g.coarse[2] + g.kernel[2] - 1) * g.fine_channels;
        window.rows = g.kernel[1];
        window.row_step = padded_row;
        window.width = conv_sparse_kernels().width(row);
        window.vectors = static_cast<int>(divide_up(row, window.width));
        padded_size = (g.coarse[1] + g.kernel[1] - 1) * padded_row + vector_row();
        chunks = std::min(enough_tasks(g), g.batch);
    }
    std::int64_t vector_row() const { return window.vectors * window.width; }
    std::int64_t window_size() const { return window.rows * vector_row(); }
    std::int64_t gradient_size() const { return geometry.coarse_channels * window_size(); }
    std::int64_t fine_row() const { return geometry.fine[2] * geometry.fine_channels; }
    std::int64_t fine_image() const { return geometry.fine[1] * fine_row(); }
    std::int64_t coarse_image() const {
        return geometry.coarse_pixels() * geometry.coarse_channels;
    }
    // Where the first number of a fine row is in the padded image.
    std::int64_t padded_place(std::int64_t fine_row) const {
        const ConvGeometry& g = geometry;
        return (fine_row + g.padding[1]) * padded_row + g.padding[2] * g.fine_channels;
    }

    template <class Body>
    void for_images(std::int64_t chunk, Body&& body) const {
        const std::int64_t end = (chunk + 1) * geometry.batch / chunks;
        for (std::int64_t image = chunk * geometry.batch / chunks; image < end; ++image)
            body(image);
    }
};

bool fits(const ConvGeometry& g) {
    for (int a = 0; a < conv_axes; ++a)
        if (g.stride[a] != 1 || g.dilation[a] != 1 || g.padding[a] < 0 ||
            g.coarse[a] + g.kernel[a] - 1 < g.fine[a] + g.padding[a])
            return false;
    const bool flat = g.fine[0] == 1 && g.coarse[0] == 1 && g.kernel[0] == 1;
    if (!flat || g.groups != 1 || g.transposed || g.taps() == 1 || g.batch < fewest_images ||
        g.coarse_pixels() == 0 || g.fine_pixels() == 0)
        return false;
    const Plan plan(g);
    return plan.window.vectors <= sparse_most_vectors &&
           plan.padded_size + plan.coarse_image() <= image_budget;
}

// A plane's pixels and the places of their windows, up to whole vectors.
std::int64_t listed(const ConvGeometry& g) { return divide_up(g.coarse_pixels(), 16) * 16; }

void fill_places(const Plan& plan, std::int32_t* places) {
    const ConvGeometry& g = plan.geometry;
    std::fill_n(places, listed(g), 0);
    for (std::int64_t y = 0; y < g.coarse[1]; ++y)
        for (std::int64_t x = 0; x < g.coarse[2]; ++x)
            *places++ = static_cast<std::int32_t>(y * plan.padded_row + x * g.fine_channels);
}

// [pixel][channel] to planes, a plane `listed` floats long.
void turn(const ConvGeometry& g, const float* image, float* planes) {
    const std::int64_t channels = g.coarse_channels, pixels = g.coarse_pixels();
    if (channels <= planar_channels)
        conv_planar_kernels().turn(image, pixels, static_cast<int>(channels), planes, listed(g));
    else
        transpose_kernels<float>().matrix(image, channels, planes, listed(g), channels, pixels,
                                          false);
}

// The partial gradient of a chunk, [coarse channel][row][vector][lane].
void sum_chunk(const Plan& plan, std::int64_t chunk, const float* fine, const float* coarse,
               const std::int32_t* places, float* gradient) {
    const ConvGeometry& g = plan.geometry;
    const std::int64_t most = listed(g) + 16;
    const Workspace<float> padded(plan.padded_size), values(most);
    const Workspace<float> planes(g.coarse_channels * listed(g));
    const Workspace<std::int32_t> listed_places(most);
    std::fill_n(padded.data(), plan.padded_size, 0.0f);
    std::fill_n(gradient, plan.gradient_size(), 0.0f);
    SparseSum sum{plan.window, padded.data(), values.data(), listed_places.data(), 0, nullptr};
    plan.for_images(chunk, [&](std::int64_t image) {
        const float* from = fine + image * plan.fine_image();
        for (std::int64_t y = 0; y < g.fine[1]; ++y)
            std::copy_n(from + y * plan.fine_row(), plan.fine_row(),
                        padded.data() + plan.padded_place(y));
        turn(g, coarse + image * plan.coarse_image(), planes.data());
        for (std::int64_t k = 0; k < g.coarse_channels; ++k) {
            sum.count =
                conv_sparse_kernels().list(planes.data() + k * listed(g), places, g.coarse_pixels(),
                                           values.data(), listed_places.data());
            sum.sums = gradient + k * plan.window_size();
            conv_sparse_kernels().add(sum);
        }
    });
}

void spread_chunk(const Plan& plan, std::int64_t chunk, const float* coarse, const float* weight,
                  float* fine) {
    const ConvGeometry& g = plan.geometry;
    const Workspace<float> padded(plan.padded_size);
    SparseSpread spread{plan.window, nullptr, g.coarse[2],    g.coarse_channels,
                        weight,      nullptr, g.fine_channels};
    plan.for_images(chunk, [&](std::int64_t image) {
        std::fill_n(padded.data(), plan.padded_size, 0.0f);
        for (std::int64_t y = 0; y < g.coarse[1]; ++y) {
            spread.pixels =
                coarse + image * plan.coarse_image() + y * g.coarse[2] * g.coarse_channels;
            spread.image = padded.data() + y * plan.padded_row;
            conv_sparse_kernels().spread(spread);
        }
        for (std::int64_t y = 0; y < g.fine[1]; ++y)
            std::copy_n(padded.data() + plan.padded_place(y), plan.fine_row(),
                        fine + image * plan.fine_image() + y * plan.fine_row());
    });
}

}  // namespace

bool conv_sparse_serves(const ConvGeometry& g, const float* coarse) {
    if (!fits(g)) return false;
    const std::int64_t size = g.coarse_pixels() * g.coarse_channels;
    std::int64_t numbers = 0, others = 0;
    for (std::int64_t image = 0; image < g.batch; image += sample_step, numbers += size)
        others += conv_sparse_kernels().count(coarse + image * size, size);
    return 8 * others <= 3 * numbers;
}

void conv_sparse_weight_gradient(const ConvGeometry& g, const float* fine, const float* coarse,
                                 float* grad_weight) {
    const Plan plan(g);
    const std::int64_t size = plan.gradient_size();
    const Workspace<std::int32_t> places(listed(g));
    fill_places(plan, places.data());
    const Workspace<float> partial(plan.chunks * size);
    parallel_for(plan.chunks, [&](std::int64_t chunk) {
        sum_chunk(plan, chunk, fine, coarse, places.data(), partial.data() + chunk * size);
    });
    for (std::int64_t chunk = 1; chunk < plan.chunks; ++chunk)
        for (std::int64_t i = 0; i < size; ++i) partial[i] += partial[chunk * size + i];
    for (std::int64_t row = 0; row < g.coarse_channels * g.kernel[1]; ++row)
        std::copy_n(partial.data() + row * plan.vector_row(), plan.row,
                    grad_weight + row * plan.row);
}

void conv_sparse_spread(const ConvGeometry& g, const float* coarse, const float* weight,
                        float* fine) {
    const Plan plan(g);
    const Workspace<float> packed(plan.gradient_size());
    std::fill_n(packed.data(), plan.gradient_size(), 0.0f);
    for (std::int64_t row = 0; row < g.coarse_channels * g.kernel[1]; ++row)
        std::copy_n(weight + row * plan.row, plan.row, packed.data() + row * plan.vector_row());
    parallel_for(plan.chunks, [&](std::int64_t chunk) {
        spread_chunk(plan, chunk, coarse, packed.data(), fine);
    });
}

}  // namespace voxelgrad

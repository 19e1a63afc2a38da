// An image is a unit: its numbers are copied into an image with padding, where the window of a
// coarse pixel (y, x) begins at (y, x). Chunks of images, which the geometry alone decides, sum
// into partial gradients, which are added in order.
#include "ops/conv_sparse.hpp"

#include <algorithm>
#include <bit>

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
    // Where the window of a coarse pixel is in the padded image.
    std::int64_t window_place(std::int64_t y, std::int64_t x) const {
        return y * padded_row + x * geometry.fine_channels;
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

// What a chunk needs to list the numbers of an image, channel by channel, in the order of the
// pixels.
class Lister {
 public:
    Lister(const Plan& plan, const SparseGradient& coarse)
        : plan_(plan),
          coarse_(coarse),
          pixels_(coarse.indices ? coarse.rows * coarse.columns : plan.geometry.coarse_pixels()),
          plane_(divide_up(pixels_, vector) * vector),
          planes_(plane_ * channels()),
          indices_(coarse.indices ? plane_ * channels() : 0),
          wide_(coarse.indices ? pixels_ * channels() : 0),
          places_(plane_ + vector),
          values(plane_ + vector),
          listed_places(plane_ + vector) {
        std::fill_n(places_.data(), plane_ + vector, 0);
        const std::int64_t columns = coarse.indices ? coarse.columns : plan.geometry.coarse[2];
        std::int32_t* place = places_.data();
        for (std::int64_t y = 0; y * columns < pixels_; ++y)
            for (std::int64_t x = 0; x < columns; ++x)
                *place++ = static_cast<std::int32_t>(
                    plan.window_place(y * coarse.window_rows, x * coarse.window_columns));
    }

    void read_image(std::int64_t image) {
        const std::int64_t first = image * pixels_ * channels();
        turn(coarse_.numbers + first, planes_.data());
        if (coarse_.indices == nullptr) return;
        for (std::int64_t i = 0; i < pixels_ * channels(); ++i)
            wide_[i] = std::bit_cast<float>(std::int32_t{coarse_.indices[first + i]});
        turn(wide_.data(), indices_.data());
    }

    std::int64_t list(std::int64_t channel) {
        const float* const numbers = planes_.data() + channel * plane_;
        if (coarse_.indices == nullptr)
            return conv_sparse_kernels().list(numbers, places_.data(), pixels_, values.data(),
                                              listed_places.data());
        return conv_sparse_kernels().list_pooled(
            {numbers, indices_.data() + channel * plane_, places_.data(), coarse_.rows,
             coarse_.columns, static_cast<std::int32_t>(coarse_.window_rows),
             static_cast<std::int32_t>(coarse_.window_columns),
             static_cast<std::int32_t>(plan_.padded_row),
             static_cast<std::int32_t>(plan_.geometry.fine_channels)},
            values.data(), listed_places.data());
    }

 private:
    static constexpr std::int64_t vector = 16;  // floats: of no instruction set more

    std::int64_t channels() const { return plan_.geometry.coarse_channels; }

    // [pixel][channel] to planes.
    void turn(const float* image, float* planes) const {
        if (channels() <= planar_channels)
            conv_planar_kernels().turn(image, pixels_, static_cast<int>(channels()), planes,
                                       plane_);
        else
            transpose_kernels<float>().matrix(image, channels(), planes, plane_, channels(),
                                              pixels_, false);
    }

    const Plan& plan_;
    const SparseGradient& coarse_;
    std::int64_t pixels_, plane_;  // numbers of a channel; with room up to whole vectors
    Workspace<float> planes_, indices_, wide_;
    Workspace<std::int32_t> places_;

 public:
    const Workspace<float> values;
    const Workspace<std::int32_t> listed_places;
};

}  // namespace

bool conv_sparse_fits(const ConvGeometry& g) {
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

namespace {

// The partial gradient of a chunk, [coarse channel][row][vector][lane], and of the bias.
void sum_chunk(const Plan& plan, std::int64_t chunk, const float* fine,
               const SparseGradient& coarse, float* gradient, double* bias) {
    const ConvGeometry& g = plan.geometry;
    const Workspace<float> padded(plan.padded_size);
    Lister lister(plan, coarse);
    std::fill_n(padded.data(), plan.padded_size, 0.0f);
    std::fill_n(gradient, plan.gradient_size(), 0.0f);
    std::fill_n(bias, g.coarse_channels, 0.0);
    SparseSum sum{plan.window, padded.data(), lister.values.data(), lister.listed_places.data(),
                  0,           nullptr};
    plan.for_images(chunk, [&](std::int64_t image) {
        const float* from = fine + image * plan.fine_image();
        for (std::int64_t y = 0; y < g.fine[1]; ++y)
            std::copy_n(from + y * plan.fine_row(), plan.fine_row(),
                        padded.data() + plan.padded_place(y));
        lister.read_image(image);
        for (std::int64_t k = 0; k < g.coarse_channels; ++k) {
            sum.count = lister.list(k);
            sum.sums = gradient + k * plan.window_size();
            conv_sparse_kernels().add(sum);
            bias[k] += conv_sparse_kernels().total(sum.values, sum.count);
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
            spread.image = padded.data() + plan.window_place(y, 0);
            conv_sparse_kernels().spread(spread);
        }
        for (std::int64_t y = 0; y < g.fine[1]; ++y)
            std::copy_n(padded.data() + plan.padded_place(y), plan.fine_row(),
                        fine + image * plan.fine_image() + y * plan.fine_row());
    });
}

}  // namespace

bool conv_sparse_serves(const ConvGeometry& g, const float* coarse) {
    if (!conv_sparse_fits(g)) return false;
    const std::int64_t size = g.coarse_pixels() * g.coarse_channels;
    std::int64_t numbers = 0, others = 0;
    for (std::int64_t image = 0; image < g.batch; image += sample_step, numbers += size)
        others += conv_sparse_kernels().count(coarse + image * size, size);
    return 8 * others <= 3 * numbers;
}

void conv_sparse_weight_gradient(const ConvGeometry& g, const float* fine,
                                 const SparseGradient& coarse, float* grad_weight,
                                 float* grad_bias) {
    const Plan plan(g);
    const std::int64_t size = plan.gradient_size(), channels = g.coarse_channels;
    const Workspace<float> partial(plan.chunks * size);
    const Workspace<double> bias(plan.chunks * channels);
    parallel_for(plan.chunks, [&](std::int64_t chunk) {
        sum_chunk(plan, chunk, fine, coarse, partial.data() + chunk * size,
                  bias.data() + chunk * channels);
    });
    for (std::int64_t chunk = 1; chunk < plan.chunks; ++chunk) {
        for (std::int64_t i = 0; i < size; ++i) partial[i] += partial[chunk * size + i];
        for (std::int64_t k = 0; k < channels; ++k) bias[k] += bias[chunk * channels + k];
    }
    for (std::int64_t row = 0; row < channels * g.kernel[1]; ++row)
        std::copy_n(partial.data() + row * plan.vector_row(), plan.row,
                    grad_weight + row * plan.row);
    for (std::int64_t k = 0; grad_bias != nullptr && k < channels; ++k)
        grad_bias[k] = static_cast<float>(bias[k]);
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

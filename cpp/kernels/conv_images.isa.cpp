#include "kernels/conv_images.hpp"

#include "kernels/slope.hpp"
#include "kernels/turn.hpp"

namespace voxelgrad::VOXELGRAD_ISA {
namespace {

constexpr int most_channels = 8, most_images = 4;  // vectors of images

// The sums, the source and a broadcast weight stay in registers.
constexpr int vectors_for(int channels) {
    const int fit = (lanes == 16 ? 31 : 15) / (channels + 1);
    return fit < most_images ? fit : most_images;
}

int most_vectors(int channels) { return vectors_for(channels); }

template <int channels, int vectors>
void pixel(const ImagesPixel& p) {
    Vec sums[vectors][channels];
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v)
#pragma GCC unroll 8
        for (int k = 0; k < channels; ++k) sums[v][k] = splat(p.bias[k]);

    for (std::int64_t row = 0; row < p.rows; ++row) {
        const float* source = p.strip + row * p.strip_step;
        const float* weight = p.weight + row * p.weight_step;
        for (std::int64_t step = 0; step < p.steps; ++step) {
            Vec x[vectors];
#pragma GCC unroll 8
            for (int v = 0; v < vectors; ++v) x[v] = load(source + v * lanes);
#pragma GCC unroll 8
            for (int k = 0; k < channels; ++k) {
                const Vec w = splat(weight[k]);
#pragma GCC unroll 8
                for (int v = 0; v < vectors; ++v) sums[v][k] += x[v] * w;
            }
            source += vectors * lanes;
            weight += channels;
        }
    }

    const Slope slope(p.slope);
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v)
#pragma GCC unroll 8
        for (int k = 0; k < channels; ++k)
            store(p.output + (k * vectors + v) * lanes,
                  p.slope != 1.0f ? slope(sums[v][k]) : sums[v][k]);
}

template <int channels, int vectors = vectors_for(channels)>
void pixel_of(const ImagesPixel& p) {
    if constexpr (vectors > 1)
        if (p.vectors < vectors) return pixel_of<channels, vectors - 1>(p);
    pixel<channels, vectors>(p);
}

template <int channels = most_channels>
void any_pixel(const ImagesPixel& p) {
    if constexpr (channels > 1)
        if (p.channels < channels) return any_pixel<channels - 1>(p);
    pixel_of<channels>(p);
}

// Squares of `lanes` numbers of as many images; the last one overlaps the one before.
void to_vectors(const float* from, std::int64_t stride, std::int64_t images, std::int64_t count,
                const std::int64_t* place, float* to) {
    for (std::int64_t first = 0; first < images; first += lanes, from += lanes * stride) {
        const std::int64_t here = least(lanes, images - first);
        for (std::int64_t i = 0; i < count; i += lanes) {
            const std::int64_t at = count < lanes ? 0 : least(i, count - lanes);
            const std::int64_t numbers = least(lanes, count);
            Vec v[lanes];
#pragma GCC unroll 16
            for (int image = 0; image < lanes; ++image)
                v[image] = image < here ? load_some(from + image * stride + at, numbers) : Vec{};
            transpose_square(v);
            for (std::int64_t n = 0; n < numbers; ++n) store(to + place[at + n] + first, v[n]);
        }
    }
}

void from_vectors(const float* from, std::int64_t pitch, std::int64_t count, float* to,
                  std::int64_t stride, std::int64_t images) {
    for (std::int64_t first = 0; first < images; first += lanes, to += lanes * stride) {
        const std::int64_t here = least(lanes, images - first);
        for (std::int64_t i = 0; i < count; i += lanes) {
            const std::int64_t at = count < lanes ? 0 : least(i, count - lanes);
            const std::int64_t numbers = least(lanes, count);
            Vec v[lanes];
#pragma GCC unroll 16
            for (int n = 0; n < lanes; ++n)
                v[n] = n < numbers ? load(from + (at + n) * pitch + first) : Vec{};
            transpose_square(v);
            for (std::int64_t image = 0; image < here; ++image)
                store_some(to + image * stride + at, v[image], numbers);
        }
    }
}

}  // namespace

extern const ConvImagesKernels conv_images = {lanes, most_vectors, any_pixel<>, to_vectors,
                                              from_vectors};

}  // namespace voxelgrad::VOXELGRAD_ISA

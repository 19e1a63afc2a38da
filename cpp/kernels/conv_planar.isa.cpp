#include "kernels/conv_planar.hpp"

#include "kernels/slope.hpp"
#include "kernels/turn.hpp"

namespace voxelgrad::VOXELGRAD_ISA {
namespace {

constexpr int registers = lanes == 16 ? 31 : 15;  // beside the broadcast weight
constexpr int most_vectors = 8;

// Vectors of pixels whose source and sums fit into the registers.
constexpr int vectors_for(int channels) {
    const int fit = registers / (channels + 1);
    return fit < most_vectors ? fit : most_vectors;
}

// One vector a channel -> the first `pixels` of its pixels.
template <int channels>
[[gnu::always_inline]] inline void store_pixels(const Vec* sums, float* output,
                                                std::int64_t output_stride, std::int64_t pixels) {
    float tile[channels * lanes];
    for (int k = 0; k < channels; ++k) store(tile + k * lanes, sums[k]);
    if constexpr (channels > 1 && lanes > 4)
        if (output_stride == channels && pixels >= lanes)
            return turn_to_rows<channels>(tile, lanes, output);
    for (std::int64_t p = 0; p < lanes && p < pixels; ++p)
        for (int k = 0; k < channels; ++k) output[p * output_stride + k] = tile[k * lanes + p];
}

template <int channels, int vectors>
[[gnu::noinline]] void block(const ConvRow& row, std::int64_t first) {
    Vec sums[vectors][channels];
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v)
#pragma GCC unroll 8
        for (int k = 0; k < channels; ++k) sums[v][k] = splat(row.bias[k]);

    const float* weight = row.weight;
    const float* plane = row.strip + first;
    for (std::int64_t c = 0; c < row.source_channels; ++c, plane += row.block_stride) {
        weight += row.taps_before * channels;
        for (std::int64_t tap = 0; tap < row.taps; ++tap, weight += channels) {
            const float* source = plane + row.tap_offset[tap];
            Vec x[vectors];
#pragma GCC unroll 8
            for (int v = 0; v < vectors; ++v) x[v] = load(source + v * lanes);
#pragma GCC unroll 8
            for (int k = 0; k < channels; ++k) {
                const Vec w = splat(weight[k]);
#pragma GCC unroll 8
                for (int v = 0; v < vectors; ++v) sums[v][k] += x[v] * w;
            }
        }
        weight += row.taps_after * channels;
    }

    if (row.slope != 1.0f) {
        const Slope slope(row.slope);
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v)
#pragma GCC unroll 8
            for (int k = 0; k < channels; ++k) sums[v][k] = slope(sums[v][k]);
    }

#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) {
        const std::int64_t at = first + v * lanes;
        store_pixels<channels>(sums[v], row.output + at * row.output_stride, row.output_stride,
                               row.pixels - at);
    }
}

// Calls run.operator()<count>(first), `count` being at most `most`.
template <int most, class Run>
[[gnu::always_inline]] inline void run_part(int count, int first, const Run& run) {
    if constexpr (most > 1)
        if (count < most) return run_part<most - 1>(count, first, run);
    run.template operator()<most>(first);
}

// Cuts `all` into equal parts, so that none is left with few.
template <int most, class Run>
[[gnu::always_inline]] inline void run_parts(int all, const Run& run) {
    const int parts = (all + most - 1) / most;
    for (int part = 0; part < parts; ++part) {
        const int first = part * all / parts;
        run_part<most>((part + 1) * all / parts - first, first, run);
    }
}

template <int channels>
void row_of(const ConvRow& row) {
    run_parts<vectors_for(channels)>((row.pixels + lanes - 1) / lanes, [&]<int vectors>(int first) {
        block<channels, vectors>(row, first * lanes);
    });
}

void row(const ConvRow& row) {
    constexpr void (*rows[])(const ConvRow&) = {row_of<1>, row_of<2>, row_of<3>, row_of<4>,
                                                row_of<5>, row_of<6>, row_of<7>, row_of<8>};
    rows[row.output_channels - 1](row);
}

void turn(const float* pixels, std::int64_t count, int channels, float* planes,
          std::int64_t pitch) {
    if (channels == 1) {
        std::memcpy(planes, pixels, static_cast<std::size_t>(count) * sizeof(float));
    } else if (count >= lanes && turns_in_registers(channels)) {
        for (std::int64_t i = 0; i < count; i += lanes) {
            const std::int64_t at =
                least(i, count - lanes);  // the last one overlaps the one before
            turn_to_columns(channels, pixels + at * channels, planes + at, pitch);
        }
    } else {
        for (std::int64_t i = 0; i < count; ++i)
            for (int k = 0; k < channels; ++k) planes[k * pitch + i] = pixels[i * channels + k];
    }
}

// Some taps of all rows: a vector of each tap's pixels times one of each channel's.
template <int channels, int taps>
[[gnu::noinline]] void add_taps(const PlanarProducts& p, int first) {
    Vec sums[taps][channels];
    float* const totals = p.sums + first * channels * lanes;
#pragma GCC unroll 8
    for (int t = 0; t < taps; ++t)
#pragma GCC unroll 8
        for (int k = 0; k < channels; ++k) sums[t][k] = load(totals + (t * channels + k) * lanes);
    const float* plane = p.planes;
    for (std::int64_t row = 0; row < p.rows; ++row, plane += channels * p.row_size) {
        const float* const source = p.strip + p.row_offset[row];
        for_each_vector(p.pixels, [&](std::int64_t i, int n) {
            Vec x[taps];
#pragma GCC unroll 8
            for (int t = 0; t < taps; ++t)
                x[t] = load_some(source + p.tap_offset[first + t] + i, n);
#pragma GCC unroll 8
            for (int k = 0; k < channels; ++k) {
                const Vec y = load_some(plane + k * p.row_size + i, n);
#pragma GCC unroll 8
                for (int t = 0; t < taps; ++t) sums[t][k] += x[t] * y;
            }
        });
    }
#pragma GCC unroll 8
    for (int t = 0; t < taps; ++t)
#pragma GCC unroll 8
        for (int k = 0; k < channels; ++k) store(totals + (t * channels + k) * lanes, sums[t][k]);
}

template <int channels>
void add_channels(const PlanarProducts& p) {
    run_parts<vectors_for(channels)>(
        p.taps, [&]<int taps>(int first) { add_taps<channels, taps>(p, first); });
}

void add_products(const PlanarProducts& p) {
    constexpr void (*adders[])(const PlanarProducts&) = {
        add_channels<1>, add_channels<2>, add_channels<3>, add_channels<4>,
        add_channels<5>, add_channels<6>, add_channels<7>, add_channels<8>};
    adders[p.channels - 1](p);
}

void sum_lanes(const float* vectors, std::int64_t count, float* totals) {
    for (std::int64_t i = 0; i < count; ++i) totals[i] = sum(load(vectors + i * lanes));
}

}  // namespace

extern const ConvPlanarKernels conv_planar = {lanes, row, turn, add_products, sum_lanes};

}  // namespace voxelgrad::VOXELGRAD_ISA

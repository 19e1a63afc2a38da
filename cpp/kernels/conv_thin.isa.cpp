#include "kernels/conv_thin.hpp"

#include "kernels/simd.hpp"

namespace voxelgrad::VOXELGRAD_ISA {
namespace {

// The sums of 4 frequencies of so many channels stay in registers.
constexpr int most_channels = lanes == 16 ? 4 : 2;

// x and y are either values or rows of them.
template <class X, class Put>
[[gnu::always_inline]] inline void frequencies_of(const X& at, const Put& put) {
    const auto x0 = at(0), x1 = at(1), x2 = at(2), x3 = at(3);
    put(0, x0 - x2);
    put(1, x1 + x2);
    put(2, x2 - x1);
    put(3, x1 - x3);
}

// Row frequency `number` of four rows, value by value.
void combine_rows(const ThinSource& s, int number) {
    constexpr int pairs[thin_frequencies][2] = {{0, 2}, {1, 2}, {2, 1}, {1, 3}};
    const float* a = s.rows[pairs[number][0]];
    const float* b = s.rows[pairs[number][1]];
    for_each_vector((2 * s.pairs + 2) * s.channels, [&](std::int64_t i, int n) {
        const Vec x = load_some(a + i, n), y = load_some(b + i, n);
        store_some(s.combined + i, number == 1 ? x + y : x - y, n);
    });
}

// `fixed`: the number of channels where the compiler shall know it, otherwise 0.
template <int fixed>
void transform_columns(const ThinSource& s, float* out) {
    const int channels = fixed > 0 ? fixed : s.channels;
    const float* x = s.combined;
    for (std::int64_t pair = 0; pair < s.pairs; ++pair) {
        for (int c = 0; c < channels; ++c)
            frequencies_of([&](int pixel) { return x[pixel * channels + c]; },
                           [&](int number, float value) { out[number * channels + c] = value; });
        x += 2 * channels;
        out += thin_frequencies * channels;
    }
}

void transform(const ThinSource& s) {
    constexpr void (*columns[])(const ThinSource&, float*) = {
        transform_columns<0>, transform_columns<1>, transform_columns<2>, transform_columns<3>,
        transform_columns<4>};
    const bool known = s.channels <= 4;
    for (int number = 0; number < thin_frequencies; ++number) {
        combine_rows(s, number);
        columns[known ? s.channels : 0](
            s, s.frequencies + number * s.pairs * thin_frequencies * s.channels);
    }
}

template <ThinRows rows, bool whole>
[[gnu::always_inline]] inline Vec target_pixel(const ThinProducts& p, std::int64_t at) {
    const auto pixel = [&](const float* row) {
        return whole ? load(row + at) : load_first(row + at, static_cast<int>(p.valid));
    };
    if constexpr (rows == ThinRows::first) return pixel(p.first);
    const Vec a = pixel(p.first), b = pixel(p.second);
    return rows == ThinRows::sum ? a + b : a - b;
}

template <int channels, ThinRows rows, bool whole>
[[gnu::noinline]] void add(const ThinProducts& p, int first_channel) {
    Vec sums[thin_frequencies][channels];
    const auto total = [&](int f, int c) {
        return p.sums + (f * p.channels + first_channel + c) * lanes;
    };
#pragma GCC unroll 4
    for (int f = 0; f < thin_frequencies; ++f)
#pragma GCC unroll 4
        for (int c = 0; c < channels; ++c) sums[f][c] = load(total(f, c));

    const float* x = p.frequencies + first_channel;
    const std::int64_t step = 2 * p.pixel_step, pairs = p.pixels / 2;
    const auto add_pair = [&](Vec y0, Vec y1) {
        const Vec y[thin_frequencies] = {y0, y0 + y1, y0 - y1, y1};
#pragma GCC unroll 4
        for (int f = 0; f < thin_frequencies; ++f)
#pragma GCC unroll 4
            for (int c = 0; c < channels; ++c) sums[f][c] += splat(x[f * p.channels + c]) * y[f];
        x += thin_frequencies * p.channels;
    };
    for (std::int64_t pair = 0; pair < pairs; ++pair) {
        prefetch(p.ahead + pair * step);
        add_pair(target_pixel<rows, whole>(p, pair * step),
                 target_pixel<rows, whole>(p, pair * step + p.pixel_step));
    }
    if (p.pixels % 2) add_pair(target_pixel<rows, whole>(p, pairs * step), Vec{});

#pragma GCC unroll 4
    for (int f = 0; f < thin_frequencies; ++f)
#pragma GCC unroll 4
        for (int c = 0; c < channels; ++c) store(total(f, c), sums[f][c]);
}

template <int channels, ThinRows rows>
void add_part(const ThinProducts& p, int first_channel) {
    if (p.valid >= lanes)
        add<channels, rows, true>(p, first_channel);
    else
        add<channels, rows, false>(p, first_channel);
}

template <int channels>
void add_channels(const ThinProducts& p, int first_channel) {
    switch (p.combine) {
        case ThinRows::first: return add_part<channels, ThinRows::first>(p, first_channel);
        case ThinRows::sum: return add_part<channels, ThinRows::sum>(p, first_channel);
        case ThinRows::difference:
            return add_part<channels, ThinRows::difference>(p, first_channel);
    }
}

template <int channels>
void add_parts(const ThinProducts& p, int first, int last) {
    if constexpr (channels > 0) {
        for (; last - first >= channels; first += channels) add_channels<channels>(p, first);
        add_parts<channels - 1>(p, first, last);
    }
}

void add_products(const ThinProducts& p) { add_parts<most_channels>(p, 0, p.channels); }

}  // namespace

extern const ConvThinKernels conv_thin = {lanes, transform, add_products};

}  // namespace voxelgrad::VOXELGRAD_ISA

#include "kernels/conv_head.hpp"

#include "core/streaming.hpp"
#include "kernels/slope.hpp"
#include "kernels/turn.hpp"

namespace voxelgrad::VOXELGRAD_ISA {
namespace {

constexpr int widest = lanes < 8 ? lanes : 8;  // targets of a block

// What a block computes: `targets` weights (rows `channels` long) for one vector's worth of sums.
struct Head {
    const float* weight;
    const float* bias;  // null without
    Slope slope;
    std::int64_t channels;
    int targets;
    std::int64_t target_stride;
};

// Sums of `pixels` pixels times `width` targets, pixel by pixel, one in each lane. Targets beyond
// the last one repeat it.
template <int width, class T>
[[gnu::always_inline]] inline Vec multiply(const Head& head, const T* source) {
    constexpr int pixels = lanes / width;
    const float* weight[width];
    for (int k = 0; k < width; ++k)
        weight[k] = head.weight + (k < head.targets ? k : head.targets - 1) * head.channels;
    Vec sums[lanes] = {};
    for_each_vector(head.channels, [&](std::int64_t c, int n) {
        Vec x[pixels];
#pragma GCC unroll 16
        for (int p = 0; p < pixels; ++p) x[p] = load_ahead(source + p * head.channels + c, n);
#pragma GCC unroll 16
        for (int k = 0; k < width; ++k) {
            const Vec w = load_some(weight[k] + c, n);
#pragma GCC unroll 16
            for (int p = 0; p < pixels; ++p)
                sums[p * width + k] = multiply_add(x[p], w, sums[p * width + k]);
        }
    });
    return sum_rows(sums);
}

template <int width, class T>
void rows(const Head& head, const T* source, T* target, std::int64_t pixels) {
    constexpr int at_once = lanes / width;
    float start[lanes] = {};
    for (int i = 0; head.bias && i < lanes; ++i)
        if (i % width < head.targets) start[i] = head.bias[i % width];
    const bool whole = head.targets == width && head.target_stride == width;
    std::int64_t p = 0;
    for (; p + at_once <= pixels; p += at_once) {
        const Vec sums =
            head.slope(load(start) + multiply<width>(head, source + p * head.channels));
        T* const out = target + p * head.target_stride;
        if (whole) {
            store(out, sums);
            continue;
        }
        T each[lanes];
        store(each, sums);
        for (int i = 0; i < at_once; ++i)
            for (int k = 0; k < head.targets; ++k)
                out[i * head.target_stride + k] = each[i * width + k];
    }
    if constexpr (at_once > 1)
        if (p < pixels)
            rows<lanes>(head, source + p * head.channels, target + p * head.target_stride,
                        pixels - p);
}

template <class T>
void forward(const T* source, const float* weight, const float* bias, float slope, T* target,
             std::int64_t pixels, std::int64_t channels, int targets) {
    for (int first = 0; first < targets; first += lanes) {
        const int some = targets - first < lanes ? targets - first : lanes;
        const Head head{weight + first * channels,
                        bias ? bias + first : nullptr,
                        Slope(slope),
                        channels,
                        some,
                        targets};
        if (some == 1)
            rows<1>(head, source, target + first, pixels);
        else if (some == 2)
            rows<2>(head, source, target + first, pixels);
        else if (some <= 4)
            rows<4>(head, source, target + first, pixels);
        else
            rows<widest>(head, source, target + first, pixels);
    }
}

constexpr std::int64_t widened_pixels = 64;  // whose targets are widened at a time

// The same numbers as floats, in `copy` if they are none.
const float* as_floats(const float* numbers, std::int64_t, float*) { return numbers; }
const float* as_floats(const bf16* numbers, std::int64_t count, float* copy) {
    for_each_vector(
        count, [&](std::int64_t i, int n) { store_some(copy + i, load_some(numbers + i, n), n); });
    return copy;
}

// Calls body(first, rows, count) with the targets of some pixels after the other.
template <class T, class Body>
[[gnu::always_inline]] inline void for_targets(const T* target, std::int64_t pixels, int targets,
                                               Body body) {
    alignas(Vec) float copy[widened_pixels * head_channels];
    for (std::int64_t first = 0; first < pixels; first += widened_pixels) {
        const std::int64_t count = least(widened_pixels, pixels - first);
        body(first, as_floats(target + first * targets, count * targets, copy), count);
    }
}

// Vectors in a cache line.
template <class T>
constexpr int line_vectors = cache_line / (lanes * sizeof(T));

// A cache line, or what is left of one, of the channels of every pixel: `channels` of them.
template <int targets, class T>
void back_line(const float* rows, const float* weight, std::int64_t stride, T* source,
               std::int64_t pixels, std::int64_t channels, bool past_cache) {
    constexpr int vectors = line_vectors<T>;
    Vec w[targets][vectors];
    for (int k = 0; k < targets; ++k)
        for (int v = 0; v < vectors; ++v)
            w[k][v] = v * lanes < channels
                          ? load_some(weight + k * stride + v * lanes, channels - v * lanes)
                          : Vec{};
    for (std::int64_t p = 0; p < pixels; ++p, rows += targets, source += stride)
        for (int v = 0; v < vectors; ++v) {
            Vec sum = splat(rows[0]) * w[0][v];
#pragma GCC unroll 8
            for (int k = 1; k < targets; ++k) sum = multiply_add(splat(rows[k]), w[k][v], sum);
            if (v * lanes < channels)
                put_some(source + v * lanes, sum, channels - v * lanes, past_cache);
        }
}

// The sums of some vectors of channels over all pixels, added to `sums`. The last vector may lack
// some of its `channels`.
template <int targets, int vectors, class T>
void add_vectors(const float* rows, const T* source, std::int64_t stride, float* sums,
                 std::int64_t pixels, std::int64_t channels) {
    Vec total[targets][vectors] = {};
    const auto add = [&](auto load_vector) {
        for (std::int64_t p = 0; p < pixels; ++p, rows += targets, source += stride)
            for (int v = 0; v < vectors; ++v) {
                const Vec x = load_vector(source + v * lanes);
#pragma GCC unroll 8
                for (int k = 0; k < targets; ++k)
                    total[k][v] = multiply_add(splat(rows[k]), x, total[k][v]);
            }
    };
    if (channels >= lanes)
        add([](const T* from) { return load_ahead<later>(from, lanes); });
    else
        add([&](const T* from) { return load_some(from, channels); });
    for (int k = 0; k < targets; ++k)
        for (int v = 0; v < vectors; ++v) {
            float* const out = sums + k * stride + v * lanes;
            store_some(out, load_some(out, channels) + total[k][v], channels);
        }
}

// Calls body.operator()<targets>() for 1 to 8 targets.
template <class Body>
[[gnu::always_inline]] inline void for_number_of(int targets, Body body) {
    switch (targets) {
        case 1: return body.template operator()<1>();
        case 2: return body.template operator()<2>();
        case 3: return body.template operator()<3>();
        case 4: return body.template operator()<4>();
        case 5: return body.template operator()<5>();
        case 6: return body.template operator()<6>();
        case 7: return body.template operator()<7>();
        default: return body.template operator()<8>();
    }
}

template <class T>
void backward(const T* target, const float* weight, T* source, std::int64_t pixels,
              std::int64_t channels, int targets, bool past_cache) {
    for_targets(target, pixels, targets, [&](std::int64_t first, const float* rows, auto count) {
        for (std::int64_t c = 0; c < channels; c += line_vectors<T> * lanes)
            for_number_of(targets, [&]<int number>() {
                back_line<number>(rows, weight + c, channels, source + first * channels + c, count,
                                  channels - c, past_cache);
            });
    });
    if (past_cache) stream_fence();
}

template <class T>
void weight_gradient(const T* source, const T* target, float* sums, std::int64_t pixels,
                     std::int64_t channels, int targets) {
    for (std::int64_t i = 0; i < targets * channels; ++i) sums[i] = 0.0f;
    for_targets(target, pixels, targets, [&](std::int64_t first, const float* rows, auto count) {
        for_number_of(targets, [&]<int number>() {
            std::int64_t c = 0;
            const auto add = [&]<int vectors>() {
                add_vectors<number, vectors>(rows, source + first * channels + c, channels,
                                             sums + c, count, channels - c);
                c += vectors * lanes;
            };
            while (c + 4 * lanes <= channels) add.template operator()<4>();
            while (c + 2 * lanes <= channels) add.template operator()<2>();
            while (c < channels) add.template operator()<1>();
        });
    });
}

template <class T>
constexpr ConvHeadKernels<T> kernels = {forward<T>, backward<T>, weight_gradient<T>};

}  // namespace

extern const ConvHeadKernels<float> conv_head_float = kernels<float>;
extern const ConvHeadKernels<bf16> conv_head_bf16 = kernels<bf16>;

}  // namespace voxelgrad::VOXELGRAD_ISA

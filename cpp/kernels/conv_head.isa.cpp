#include "kernels/conv_head.hpp"

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
template <int width>
[[gnu::always_inline]] inline Vec multiply(const Head& head, const float* source) {
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

template <int width>
void rows(const Head& head, const float* source, float* target, std::int64_t pixels) {
    constexpr int at_once = lanes / width;
    float start[lanes] = {};
    for (int i = 0; head.bias && i < lanes; ++i)
        if (i % width < head.targets) start[i] = head.bias[i % width];
    const bool whole = head.targets == width && head.target_stride == width;
    std::int64_t p = 0;
    for (; p + at_once <= pixels; p += at_once) {
        const Vec sums =
            head.slope(load(start) + multiply<width>(head, source + p * head.channels));
        float* out = target + p * head.target_stride;
        if (whole) {
            store(out, sums);
            continue;
        }
        float each[lanes];
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

void row(const float* source, const float* weight, const float* bias, float slope, float* target,
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

}  // namespace

extern const ConvHeadKernels conv_head = {row};

}  // namespace voxelgrad::VOXELGRAD_ISA

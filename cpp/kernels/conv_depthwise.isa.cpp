#include "kernels/conv_depthwise.hpp"

#include "kernels/slope.hpp"

namespace voxelgrad::VOXELGRAD_ISA {
namespace {

constexpr int pixels_at_once = 8;
// Asked for from memory, by the forward pass and by the weight gradient.
constexpr int floats_ahead = 512, pixels_ahead = 64;

// One vector of channels of a few pixels: each weight is loaded once for all of them.
template <int pixels>
[[gnu::always_inline]] inline void weigh_pixels(const DepthwiseRun& run, const float* weight,
                                                const float* bias, const Slope& slope,
                                                float* target, std::int64_t first, std::int64_t c,
                                                int n, bool stream_out) {
    Vec sums[pixels];
#pragma GCC unroll 8
    for (int p = 0; p < pixels; ++p) sums[p] = bias ? load_some(bias + c, n) : Vec{};
    for (std::int64_t tap = 0; tap < run.taps; ++tap) {
        const Vec w = load_some(weight + run.number[tap] * run.channels + c, n);
        const float* source = run.source[tap] + first * run.source_stride + c;
#pragma GCC unroll 8
        for (int p = 0; p < pixels; ++p)
            sums[p] += load_some(source + p * run.source_stride, n) * w;
    }
    if (run.taps > 0) {  // the last tap is the first to see a pixel
        const float* newest = run.source[run.taps - 1] + first * run.source_stride + c;
#pragma GCC unroll 8
        for (int p = 0; p < pixels; ++p)
            __builtin_prefetch(newest + p * run.source_stride + floats_ahead);
    }
    float* out = target + first * run.target_stride + c;
#pragma GCC unroll 8
    for (int p = 0; p < pixels; ++p)
        if (stream_out)
            stream(out + p * run.target_stride, slope(sums[p]));
        else
            store_some(out + p * run.target_stride, slope(sums[p]), n);
}

template <int pixels>
void weigh_block(const DepthwiseRun& run, const float* weight, const float* bias,
                 const Slope& slope, float* target, std::int64_t first, bool stream_out) {
    for_each_vector(run.channels, [&](std::int64_t c, int n) {
        weigh_pixels<pixels>(run, weight, bias, slope, target, first, c, n, stream_out);
    });
}

void weigh(const DepthwiseRun& run, const float* weight, const float* bias, float slope,
           float* target, bool stream_out) {
    const Slope bend(slope);
    std::int64_t p = 0;
    for (; p + pixels_at_once <= run.pixels; p += pixels_at_once)
        weigh_block<pixels_at_once>(run, weight, bias, bend, target, p, stream_out);
    for (; p < run.pixels; ++p) weigh_block<1>(run, weight, bias, bend, target, p, stream_out);
}

// One vector of channels of a few taps and pixels [begin, end): each target pixel is loaded once
// for all of the taps. The last tap sees the newest row; the others read what came into the cache
// with earlier rows.
template <int taps>
[[gnu::always_inline]] inline void correlate_taps(const DepthwiseRun& run, const float* target,
                                                  float* sums, std::int64_t first,
                                                  std::int64_t begin, std::int64_t end,
                                                  std::int64_t c, int n) {
    Vec total[taps];
    const float* source[taps];
#pragma GCC unroll 16
    for (int t = 0; t < taps; ++t) {
        total[t] = Vec{};
        source[t] = run.source[first + t] + c;
    }
    for (std::int64_t p = begin; p < end; ++p) {
        const Vec y = load_some(target + p * run.target_stride + c, n);
        prefetch(target + (p + pixels_ahead) * run.target_stride + c);
        prefetch(source[taps - 1] + (p + pixels_ahead) * run.source_stride);
#pragma GCC unroll 16
        for (int t = 0; t < taps; ++t)
            total[t] += load_some(source[t] + p * run.source_stride, n) * y;
    }
#pragma GCC unroll 16
    for (int t = 0; t < taps; ++t) {
        float* out = sums + run.number[first + t] * run.channels + c;
        store_some(out, load_some(out, n) + total[t], n);
    }
}

void correlate_block(const DepthwiseRun& run, const float* target, float* sums, std::int64_t begin,
                     std::int64_t end) {
    for_each_vector(run.channels, [&](std::int64_t c, int n) {
        std::int64_t tap = 0;
        for (; tap + 9 <= run.taps; tap += 9)
            correlate_taps<9>(run, target, sums, tap, begin, end, c, n);
        for (; tap + 3 <= run.taps; tap += 3)
            correlate_taps<3>(run, target, sums, tap, begin, end, c, n);
        for (; tap < run.taps; ++tap) correlate_taps<1>(run, target, sums, tap, begin, end, c, n);
    });
}

// A few pixels at a time, whose lines stay in the L1 cache from one vector of channels to the next.
void correlate(const DepthwiseRun& run, const float* target, float* sums) {
    constexpr std::int64_t most = 32;
    for (std::int64_t p = 0; p < run.pixels; p += most)
        correlate_block(run, target, sums, p, p + most < run.pixels ? p + most : run.pixels);
}

}  // namespace

extern const DepthwiseKernels depthwise = {weigh, correlate};

}  // namespace voxelgrad::VOXELGRAD_ISA

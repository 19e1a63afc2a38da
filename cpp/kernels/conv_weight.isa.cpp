#include "kernels/conv_weight.hpp"

#include "kernels/simd.hpp"

namespace voxelgrad::VOXELGRAD_ISA {
namespace {

constexpr int max_channels = lanes == 16 ? 14 : 6;  // accumulator rows in registers
constexpr int panel = 2 * lanes;

template <int channels, int vectors>
[[gnu::noinline]] void block(const ConvWeightBlock& b, int first) {
    Vec sums[channels][vectors];
#pragma GCC unroll 16
    for (int c = 0; c < channels; ++c)
        for (int v = 0; v < vectors; ++v) sums[c][v] = Vec{};

    const float* coarse = b.coarse;
    for (std::int64_t row = 0; row < b.rows; ++row) {
        const float* source = b.strip + b.row_offset[row] + first;
        for (std::int64_t pixel = 0; pixel < b.pixels; ++pixel) {
            Vec y[vectors];
            for (int v = 0; v < vectors; ++v) y[v] = load(coarse + v * lanes);
#pragma GCC unroll 16
            for (int c = 0; c < channels; ++c) {
                const Vec x = splat(source[c]);
                for (int v = 0; v < vectors; ++v) sums[c][v] += x * y[v];
            }
            coarse += panel;
            source += b.pixel_step;
        }
    }

#pragma GCC unroll 16
    for (int c = 0; c < channels; ++c)
        for (int v = 0; v < vectors; ++v) {
            float* out = b.sums + (first + c) * panel + v * lanes;
            store(out, b.add ? load(out) + sums[c][v] : sums[c][v]);
        }
}

using Block = void (*)(const ConvWeightBlock&, int);

template <int vectors, int... channels>
struct Blocks {
    static constexpr Block table[] = {nullptr, block<channels, vectors>...};
};

template <int vectors>
constexpr const Block* block_table() {
    if constexpr (max_channels == 14)
        return Blocks<vectors, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14>::table;
    else
        return Blocks<vectors, 1, 2, 3, 4, 5, 6>::table;
}

void blocks(const ConvWeightBlock& b) {
    const Block* table = b.coarse_channels > lanes ? block_table<2>() : block_table<1>();
    const int parts = (b.channels + max_channels - 1) / max_channels;
    for (int part = 0; part < parts; ++part) {
        const int first = part * b.channels / parts;
        table[(part + 1) * b.channels / parts - first](b, first);
    }
}

void pack(const float* source, std::int64_t source_stride, float* panels, std::int64_t pixels,
          int channels) {
    for (std::int64_t pixel = 0; pixel < pixels; ++pixel) {
        for (int v = 0; v < panel; v += lanes) {
            __builtin_prefetch(source + 32 * source_stride + v, 0, 2);
            const int left = channels - v;
            const Vec values = left >= lanes ? load(source + v)
                               : left > 0    ? load_first(source + v, left)
                                             : Vec{};
            store(panels + v, values);
        }
        source += source_stride;
        panels += panel;
    }
}

}  // namespace

extern const ConvWeightKernels conv_weight = {panel, blocks, pack};

}  // namespace voxelgrad::VOXELGRAD_ISA

#include "kernels/conv_direct.hpp"

#include "kernels/slope.hpp"

namespace voxelgrad::VOXELGRAD_ISA {
namespace {

// The accumulators, two weight vectors and a broadcast fill the 32 (AVX-512) or 16 registers.
constexpr int max_pixels = lanes == 16 ? 14 : 6;
constexpr int panel_vectors = 2;
constexpr int panel = panel_vectors * lanes;

template <int vectors>
[[gnu::always_inline]] inline void store_pixel(float* output, const Vec* values, int channels) {
    for (int v = 0; v < vectors; ++v) {
        const int left = channels - v * lanes;
        if (left >= lanes)
            store(output + v * lanes, values[v]);
        else if (left > 0)
            store_first(output + v * lanes, values[v], left);
    }
}

// `blocked`: the strip has blocks of 16 channels, so pixels lie at constant offsets.
template <int pixels, int vectors, bool blocked>
[[gnu::noinline]] void block(const ConvRow& row, std::int64_t first) {
    Vec sums[pixels][vectors];
#pragma GCC unroll 16
    for (int p = 0; p < pixels; ++p)
        for (int v = 0; v < vectors; ++v) sums[p][v] = load(row.bias + v * lanes);

    const float* weight = row.weight;
    const std::int64_t step = blocked ? strip_block : row.pixel_step;
    const std::int64_t size = blocked ? strip_block : row.block;
    const float* strip = row.strip + first * step;
    for (std::int64_t start = 0; start < row.source_channels; start += size) {
        const std::int64_t left = row.source_channels - start;
        const std::int64_t channels = left < size ? left : size;
        weight += row.taps_before * channels * panel;
        for (std::int64_t tap = 0; tap < row.taps; ++tap) {
            const float* source = strip + row.tap_offset[tap];
            for (std::int64_t c = 0; c < channels; ++c, weight += panel, ++source) {
                Vec w[vectors];
                for (int v = 0; v < vectors; ++v) w[v] = load(weight + v * lanes);
#pragma GCC unroll 16
                for (int p = 0; p < pixels; ++p) {
                    const Vec x = splat(source[p * step]);
                    for (int v = 0; v < vectors; ++v) sums[p][v] += x * w[v];
                }
            }
        }
        weight += row.taps_after * channels * panel;
        strip += row.block_stride;
    }

    if (row.slope != 1.0f) {
        const Slope slope(row.slope);
#pragma GCC unroll 16
        for (int p = 0; p < pixels; ++p)
            for (int v = 0; v < vectors; ++v) sums[p][v] = slope(sums[p][v]);
    }

    float* output = row.output + first * row.output_stride;
    if (row.stream) {
#pragma GCC unroll 16
        for (int p = 0; p < pixels; ++p, output += row.output_stride)
            for (int v = 0; v < vectors; ++v) stream(output + v * lanes, sums[p][v]);
    } else if (row.output_channels == vectors * lanes) {
#pragma GCC unroll 16
        for (int p = 0; p < pixels; ++p, output += row.output_stride)
            for (int v = 0; v < vectors; ++v) store(output + v * lanes, sums[p][v]);
    } else {
#pragma GCC unroll 16
        for (int p = 0; p < pixels; ++p, output += row.output_stride)
            store_pixel<vectors>(output, sums[p], row.output_channels);
    }
}

using Block = void (*)(const ConvRow&, std::int64_t);

template <int vectors, bool blocked, int... pixels>
struct Blocks {
    static constexpr Block table[] = {nullptr, block<pixels, vectors, blocked>...};
};

template <int vectors, bool blocked>
constexpr const Block* block_table() {
    if constexpr (max_pixels == 14)
        return Blocks<vectors, blocked, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14>::table;
    else
        return Blocks<vectors, blocked, 1, 2, 3, 4, 5, 6>::table;
}

template <bool blocked>
const Block* block_table(int channels) {
    return channels > lanes ? block_table<2, blocked>() : block_table<1, blocked>();
}

// Cuts the row into equal blocks, so that none is left with few pixels.
void row(const ConvRow& row) {
    const bool blocked = row.block == strip_block && row.pixel_step == strip_block;
    const Block* table =
        blocked ? block_table<true>(row.output_channels) : block_table<false>(row.output_channels);
    const int blocks = (row.pixels + max_pixels - 1) / max_pixels;
    const int size = row.pixels / blocks, longer = row.pixels % blocks;
    std::int64_t first = 0;
    for (int b = 0; b < blocks; ++b) {
        const int pixels = size + (b < longer);
        table[pixels](row, first);
        first += pixels;
    }
}

// Pixel by pixel: memory is then read in one sweep, however many blocks it is dealt out to.
void pack(const float* source, std::int64_t source_stride, float* strip, std::int64_t block_stride,
          std::int64_t count, std::int64_t channels) {
    const std::int64_t whole = channels / strip_block * strip_block;
    for (std::int64_t i = 0; i < count; ++i, source += source_stride, strip += strip_block) {
        float* block = strip;
        const float* ahead = source + 32 * source_stride;
        for (std::int64_t c = 0; c < whole; c += strip_block, block += block_stride) {
            __builtin_prefetch(ahead + c, 0, 2);
            for (int v = 0; v < strip_block; v += lanes) store(block + v, load(source + c + v));
        }
        for (std::int64_t c = whole; c < channels; ++c) block[c - whole] = source[c];
    }
}

}  // namespace

extern const ConvDirectKernels conv_direct = {panel, row, pack};

}  // namespace voxelgrad::VOXELGRAD_ISA

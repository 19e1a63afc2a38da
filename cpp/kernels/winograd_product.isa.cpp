#include "kernels/winograd_product.hpp"

#include "kernels/simd.hpp"

namespace voxelgrad::VOXELGRAD_ISA {
namespace {

// The accumulators, two vectors of the panel and a broadcast fill the 32 (AVX-512) or 16 registers.
constexpr int most_tiles = lanes == 16 ? 14 : 6;
constexpr int most_channels = lanes == 16 ? 8 : 4;
constexpr int panel_vectors = 2;
constexpr int panel = panel_vectors * lanes;
// Their part of a panel's weight stays in the first cache beside the tiles.
constexpr std::int64_t cached_channels = 128;

// A part of the sums.
struct Part {
    const float* source;  // of the first tile
    const float* weight;
    float* target;
    std::int64_t block_stride, channels;
    std::int64_t next_weight;
    bool add;  // to what `target` holds
};

template <int tiles, int vectors>
[[gnu::noinline]] void product_block(const Part& part) {
    Vec sums[tiles][vectors];
#pragma GCC unroll 16
    for (int t = 0; t < tiles; ++t)
        for (int v = 0; v < vectors; ++v) sums[t][v] = Vec{};
    const float *source = part.source, *weight = part.weight;
    for (std::int64_t left = part.channels; left > 0; left -= strip_block) {
        const std::int64_t channels = left < strip_block ? left : strip_block;
        for (std::int64_t c = 0; c < channels; ++c, weight += panel) {
            Vec w[vectors];
            for (int v = 0; v < vectors; ++v) w[v] = load(weight + v * lanes);
            for (int v = 0; v < vectors; ++v) prefetch(weight + part.next_weight + v * lanes);
#pragma GCC unroll 16
            for (int t = 0; t < tiles; ++t) {
                const Vec x = splat(source[t * strip_block + c]);
                for (int v = 0; v < vectors; ++v) sums[t][v] += x * w[v];
            }
        }
        source += part.block_stride;
    }
#pragma GCC unroll 16
    for (int t = 0; t < tiles; ++t)
        for (int v = 0; v < vectors; ++v) {
            float* out = part.target + t * panel + v * lanes;
            store(out, part.add ? load(out) + sums[t][v] : sums[t][v]);
        }
}

using ProductBlock = void (*)(const Part&);

template <int vectors, int... tiles>
struct ProductBlocks {
    static constexpr ProductBlock table[] = {nullptr, product_block<tiles, vectors>...};
};

template <int vectors>
constexpr const ProductBlock* product_blocks() {
    if constexpr (most_tiles == 14)
        return ProductBlocks<vectors, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14>::table;
    else
        return ProductBlocks<vectors, 1, 2, 3, 4, 5, 6>::table;
}

// Cuts the tiles into equal blocks, so that none is left with few.
void product_part(Part part, const ProductBlock* table, std::int64_t tiles) {
    const std::int64_t blocks = (tiles + most_tiles - 1) / most_tiles;
    const std::int64_t size = tiles / blocks, longer = tiles % blocks;
    for (std::int64_t block = 0; block < blocks; ++block) {
        const std::int64_t count = size + (block < longer);
        table[count](part);
        part.next_weight = 0;  // is on its way: what the others fetch is what they have
        part.source += count * strip_block;
        part.target += count * panel;
    }
}

void product(const WinogradProduct& p) {
    const ProductBlock* table = p.whole_panel ? product_blocks<2>() : product_blocks<1>();
    for (std::int64_t c = 0; c < p.channels; c += cached_channels) {
        const std::int64_t left = p.channels - c;
        const Part part{p.source + c / strip_block * p.block_stride,
                        p.weight + c * panel,
                        p.target,
                        p.block_stride,
                        left < cached_channels ? left : cached_channels,
                        p.next_weight,
                        p.add || c > 0};
        product_part(part, table, p.tiles);
    }
}

template <int channels, int vectors>
[[gnu::noinline]] void gradient_block(const WinogradGradient& g, int first) {
    Vec sums[channels][vectors];
#pragma GCC unroll 8
    for (int c = 0; c < channels; ++c)
        for (int v = 0; v < vectors; ++v) sums[c][v] = Vec{};
    const float* left = g.left + first;
    const float* right[vectors];
    for (int v = 0; v < vectors; ++v)
        right[v] = g.right + v * lanes / strip_block * g.right_block + v * lanes % strip_block;
    for (std::int64_t tile = 0; tile < g.tiles; ++tile) {
        Vec y[vectors];
        for (int v = 0; v < vectors; ++v) y[v] = load(right[v] + tile * strip_block);
#pragma GCC unroll 8
        for (int c = 0; c < channels; ++c) {
            const Vec x = splat(left[tile * strip_block + c]);
            for (int v = 0; v < vectors; ++v) sums[c][v] += x * y[v];
        }
    }
#pragma GCC unroll 8
    for (int c = 0; c < channels; ++c)
        for (int v = 0; v < vectors; ++v) {
            float* out = g.sums + (first + c) * panel + v * lanes;
            store(out, g.add ? load(out) + sums[c][v] : sums[c][v]);
        }
}

using GradientBlock = void (*)(const WinogradGradient&, int);

template <int vectors, int... channels>
struct GradientBlocks {
    static constexpr GradientBlock table[] = {nullptr, gradient_block<channels, vectors>...};
};

template <int vectors>
constexpr const GradientBlock* gradient_blocks() {
    if constexpr (most_channels == 8)
        return GradientBlocks<vectors, 1, 2, 3, 4, 5, 6, 7, 8>::table;
    else
        return GradientBlocks<vectors, 1, 2, 3, 4>::table;
}

void gradient(const WinogradGradient& g) {
    const GradientBlock* table = g.whole_panel ? gradient_blocks<2>() : gradient_blocks<1>();
    for (int first = 0; first < g.left_channels; first += most_channels) {
        const int left = g.left_channels - first;
        table[left < most_channels ? left : most_channels](g, first);
    }
}

}  // namespace

extern const WinogradProductKernels winograd_product = {panel, product, gradient};

}  // namespace voxelgrad::VOXELGRAD_ISA

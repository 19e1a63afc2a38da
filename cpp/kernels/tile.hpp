// Products of bfloat16 in blocks of 32 rows x 32 columns: AMX tiles where there are some, pairs of
// bfloat16 (AVX512-BF16) or float32 multiply-adds elsewhere.
//
// A product is a sum over steps of depth 32. The rows are read where they lie (each 64 bytes long);
// the columns are packed, pairs of the depth side by side: [step][half][16 pairs][16 columns][2].
#pragma once

#include <cstdint>

#include "kernels/dispatch.hpp"

namespace voxelgrad {

constexpr int tile_rows = 32;                                 // of a block
constexpr int tile_columns = 32;                              // of a block
constexpr int tile_depth = 32;                                // of a step
constexpr int tile_half = 16;                                 // columns of a packed tile
constexpr std::int64_t packed_tile = tile_depth * tile_half;  // elements

struct TileProduct {
    const bf16* rows;                 // row r of step s: rows + step_offset[s] + r * row_stride
    std::int64_t row_stride;          // elements
    const std::int64_t* step_offset;  // elements
    std::int64_t steps;
    const bf16* columns;              // packed
    int halves;                       // of the columns: 1 (the block has 16) or 2
    float* sums;                      // [32][32]
    bool add;                         // to what `sums` holds; otherwise it is overwritten
    std::int64_t wanted = tile_rows;  // the first rows; the sums of others may be anything
};

struct TileKernels {
    // Before the first and after the last product of a task: the tiles are state of the thread, and
    // what was streamed must be visible to other threads.
    void (*begin)();
    void (*end)();
    // Sums over steps in order.
    void (*multiply)(const TileProduct&);

    // One packed tile from depth x columns values (at most 32 x 16), zero beyond them.
    // along: neighbours in depth lie side by side, `stride` between columns;
    // across: neighbouring columns lie side by side, `stride` between values of the depth.
    void (*pack_along)(const float* values, std::int64_t stride, int depth, int columns,
                       bf16* packed);
    void (*pack_across)(const float* values, std::int64_t stride, int depth, int columns,
                        bf16* packed);
    void (*pack_pixels)(const bf16* values, std::int64_t stride, int depth, int columns,
                        bf16* packed);
    // 32 pixels of 32 channels, `stride` apart -> 32 channels, `row_stride` apart, of 32 pixels.
    void (*turn)(const bf16* pixels, std::int64_t stride, bf16* rows, std::int64_t row_stride);
    // Copies `count` pixels of `channels` values to pixels `width` apart, zero beyond the channels.
    // ahead: the first of as many pixels as far apart that are copied soon, and asked for now.
    void (*copy)(const bf16* source, std::int64_t source_stride, bf16* pixels, std::int64_t width,
                 std::int64_t count, int channels, const bf16* ahead);
    // output[p][c] = sums[p][c] + bias[c], times `slope` where negative, for `count` rows of
    // `sums`. stream: past the cache, whole cache lines (32 channels).
    void (*finish)(const float* sums, const float* bias, bf16* output, std::int64_t output_stride,
                   std::int64_t count, int channels, float slope, bool stream);
};

VOXELGRAD_BF16_KERNEL_TABLE(TileKernels, tile)

}  // namespace voxelgrad

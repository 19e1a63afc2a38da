// The weight gradient of a convolution from few channels: patches of the fine grid and tiles of the
// coarse one lie in shared memory (conv_patch.cuh).
//
// Rows are channels of all taps, padded as those of a patch are; columns are coarse channels. A
// warp sums 64 x 32 of them in registers, over its share of the pixels of some tiles; the shares
// are added in order, then the pieces. float32: a lane has 4 quads of rows x 4 columns, FMAs pixel
// by pixel. bfloat16 with coarse channels in eights: tensor cores.
#pragma once

#include "cuda/ops/conv_narrow.cuh"

namespace voxelgrad::cuda {

constexpr int strip_rows = 64, strip_columns = 32;              // of a warp
constexpr int strip_numbers = strip_rows * strip_columns / 32;  // of a lane

struct NarrowWeightGrid {
    int strips;                         // of a block: 1, 2 or 4; warps share what is left
    std::int64_t across, down, groups;  // blocks of columns, of strips; groups
    TileRanges ranges;

    NarrowWeightGrid(std::int64_t tiles, std::int64_t rows, std::int64_t columns,
                     std::int64_t groups, std::int64_t most_pieces)
        : strips(power_of_two_up_to(divide_up(rows, strip_rows), tile_warps)),
          across(divide_up(columns, strip_columns)),
          down(divide_up(rows, strip_rows * strips)),
          groups(groups),
          ranges(tiles, std::min(divide_up(narrow_blocks, across * down * groups), most_pieces)) {}
    std::int64_t blocks() const { return ranges.ranges * across * down * groups; }
};

// A run of the coarse grid's channels for each pixel of a tile; zeros where there is none. Runs of
// 16 bytes are copied by the device itself if `whole`.
template <class T>
struct CoarseTile {
    static constexpr int pitch = strip_columns + full_width<T>;  // banks
    alignas(16) T value[tile_pixels][pitch];

    __device__ void load(const T* coarse, int channels, const PatchTables& tables, bool whole) {
        const int step = whole ? full_width<T> : 1, across = strip_columns / step;
        for (int i = static_cast<int>(threadIdx.x); i < tile_pixels * across; i += tile_pixels) {
            const int pixel = i / across, channel = (i - pixel * across) * step;
            const bool exists = channel < channels && tables.place[pixel] >= 0;
            const T* const from = exists ? coarse + tables.target[pixel] + channel : nullptr;
            if (whole)
                copy_later(&value[pixel][channel], from);
            else
                value[pixel][channel] = from ? *from : T{};
        }
        end_batch();
    }
};

// What a lane sums without tensor cores: rows 16 r + 4 (lane / 8) + i, columns 4 (lane % 8) + n.
template <int pitch, class T>
struct NarrowWeightTotals {
    static constexpr int quads = strip_rows / 16, taps_a_quad = 4 / pitch;
    float value[quads][4][4] = {};

    __device__ static int row(int number) {
        return number / 16 * 16 + static_cast<int>(threadIdx.x) % 32 / 8 * 4 + number / 4 % 4;
    }
    __device__ static int column(int number) {
        return static_cast<int>(threadIdx.x) % 8 * 4 + number % 4;
    }
    __device__ float& operator[](int number) {
        return value[number / 16][number / 4 % 4][number % 4];
    }

    // Every `shares`-th pixel from `share` on.
    __device__ void add(const PatchTables& tables, int taps, int first_row, const T* patch,
                        const CoarseTile<T>& coarse, int share, int shares) {
        int place[quads][taps_a_quad];
        VOXELGRAD_UNROLL
        for (int r = 0; r < quads; ++r) VOXELGRAD_UNROLL
        for (int t = 0; t < taps_a_quad; ++t) {
            const int tap = (first_row + row(r * 16)) / pitch + t;
            place[r][t] = tap < taps ? tables.tap[tap].place : 0;
        }
        const int used = taps * pitch - first_row;
        for (int pixel = share; pixel < tile_pixels; pixel += shares) {
            if (tables.place[pixel] < 0) continue;
            const T* const from = patch + tables.place[pixel];
            const auto across = load_pack<4>(&coarse.value[pixel][column(0)]);
            VOXELGRAD_UNROLL
            for (int r = 0; r < quads; ++r) {
                if (r * 16 >= used) continue;
                VOXELGRAD_UNROLL
                for (int t = 0; t < taps_a_quad; ++t) {
                    const auto fine = load_pack<pitch>(from + place[r][t]);
                    VOXELGRAD_UNROLL
                    for (int c = 0; c < pitch; ++c) VOXELGRAD_UNROLL
                    for (int n = 0; n < 4; ++n) {
                        float& total = value[r][t * pitch + c][n];
                        total = fmaf(to_float(fine.value[c]), to_float(across.value[n]), total);
                    }
                }
            }
        }
    }
};

// The same on tensor cores: 4 x 4 blocks of 16 rows x 8 columns.
template <int pitch>
struct NarrowWeightMma {
    static constexpr int down = strip_rows / 16, across = strip_columns / 8;
    float value[down][across][4] = {};

    __device__ static int row(int number) {
        return number / 16 * 16 + number / 2 % 2 * 8 + static_cast<int>(threadIdx.x) % 32 / 4;
    }
    __device__ static int column(int number) {
        return number / 4 % 4 * 8 + static_cast<int>(threadIdx.x) % 4 * 2 + number % 2;
    }
    __device__ float& operator[](int number) {
        return value[number / 16][number / 4 % 4][number % 4];
    }

    __device__ void add(PatchTables& tables, int taps, int first_row, const bf16* patch,
                        CoarseTile<bf16>& coarse, int share, int shares) {
        const int lane = static_cast<int>(threadIdx.x) % 32;
        int place[down][2];  // of the lane's rows
        VOXELGRAD_UNROLL
        for (int i = 0; i < down; ++i) VOXELGRAD_UNROLL
        for (int low = 0; low < 2; ++low) {
            const int own = first_row + i * 16 + low * 8 + lane / 4, tap = own / pitch;
            place[i][low] = tap < taps ? tables.tap[tap].place + own % pitch : 0;
        }
        const int used = taps * pitch - first_row;
        for (int pixel = share * product_steps; pixel < tile_pixels;
             pixel += shares * product_steps) {
            std::uint32_t b[across / 2][4];
            VOXELGRAD_UNROLL
            for (int j = 0; j < across / 2; ++j)
                load_matrices<true>(
                    b[j],
                    &coarse.value[pixel + lane / 8 % 2 * 8 + lane % 8][j * 16 + lane / 16 * 8]);
            int from[2][2];  // where the lane's pixels begin to read
            VOXELGRAD_UNROLL
            for (int half = 0; half < 2; ++half) VOXELGRAD_UNROLL
            for (int n = 0; n < 2; ++n)
                from[half][n] = tables.place[pixel + half * 8 + lane % 4 * 2 + n];
            VOXELGRAD_UNROLL
            for (int i = 0; i < down; ++i) {
                if (i * 16 >= used) continue;
                std::uint32_t a[4];
                VOXELGRAD_UNROLL
                for (int r = 0; r < 4; ++r) {
                    Pack<bf16, 2> pair{};
                    VOXELGRAD_UNROLL
                    for (int n = 0; n < 2; ++n)
                        if (from[r / 2][n] >= 0)
                            pair.value[n] = patch[from[r / 2][n] + place[i][r % 2]];
                    a[r] = std::bit_cast<std::uint32_t>(pair);
                }
                VOXELGRAD_UNROLL
                for (int j = 0; j < across; ++j) {
                    const std::uint32_t half[2] = {b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]};
                    multiply_add<bf16>(value[i][j], a, half);
                }
            }
        }
    }
};

// Adds the totals of the warps that share a strip, to those of the first of them.
template <class Totals>
__device__ void add_shares(Totals& totals, int strip, int share, int shares, float* memory) {
    float* const own = memory + strip * strip_numbers * 32 + threadIdx.x % 32;
    for (int s = 1; s < shares; ++s) {
        __syncthreads();
        if (share == s) {
            VOXELGRAD_UNROLL
            for (int i = 0; i < strip_numbers; ++i) own[i * 32] = totals[i];
        }
        __syncthreads();
        if (share == 0) {
            VOXELGRAD_UNROLL
            for (int i = 0; i < strip_numbers; ++i) totals[i] += own[i * 32];
        }
    }
}

// `whole`: runs of 16 bytes of the coarse channels can be copied as one.
template <class Totals, int pitch, class T>
__global__ void __launch_bounds__(tile_pixels)
    narrow_weight_kernel(WeightPass<T> pass, PatchTiles tiles, NarrowWeightGrid grid,
                         PatchSource<T> source, bool whole) {
    VOXELGRAD_SHARED(part, typename WeightPass<T>::Part);
    VOXELGRAD_SHARED(tables, PatchTables);
    auto* const coarse = dynamic_shared<CoarseTile<T>>();
    T* const patch = reinterpret_cast<T*>(coarse + 1);
    const std::int64_t number = blockIdx.x, line = number / grid.across;
    const int first_column = static_cast<int>(number - line * grid.across) * strip_columns;
    const std::int64_t some = line / grid.down, group = some % grid.groups;
    const std::int64_t range = some / grid.groups;
    pass.enter(range * pass.groups + group, part);
    list_taps<pitch>(pass.gather, part.phase, tiles, tables);
    source.data += part.fine;
    const int warp = static_cast<int>(threadIdx.x) / 32, strip = warp % grid.strips;
    const int share = warp / grid.strips, shares = tile_warps / grid.strips;
    const int first_row =
        static_cast<int>((line - some * grid.down) * grid.strips + strip) * strip_rows;
    const T* const columns = pass.coarse + part.coarse + first_column;

    Totals totals;
    const int taps = part.phase.taps();
    const std::int64_t end = grid.ranges.end(range);
    for (std::int64_t tile = grid.ranges.first(range); tile < end; ++tile) {
        __syncthreads();  // nobody reads what is there any more
        enter_tile<pitch>(pass.gather, part.phase, tiles, tile, source, tables, patch);
        __syncthreads();
        coarse->load(columns, pass.coarse_channels - first_column, tables, whole);
        wait_for_batches<0>();
        __syncthreads();
        totals.add(tables, taps, first_row, patch, *coarse, share, shares);
    }
    add_shares(totals, strip, share, shares, dynamic_shared<float>());
    if (share != 0) return;
    VOXELGRAD_UNROLL
    for (int i = 0; i < strip_numbers; ++i) {
        const int row = first_row + totals.row(i), tap = row / pitch, channel = row % pitch;
        const int column = first_column + totals.column(i);
        if (tap >= taps || channel >= pass.fine_channels || column >= pass.coarse_channels)
            continue;
        pass.output[part.output + tap * pass.order.tap + channel * pass.order.k +
                    column * pass.order.n] = totals[i];
    }
}

// What the kernel of a pass over few fine channels needs to know. The pieces of its sums are ranges
// of tiles.
template <class T>
struct NarrowWeights {
    bool on_tensor_cores;
    int pitch;
    PatchTiles tiles;
    NarrowWeightGrid grid;

    NarrowWeights(const WeightPass<T>& pass, std::int64_t most_pieces)
        : on_tensor_cores(std::is_same_v<T, bf16> && pass.coarse_channels % 8 == 0 &&
                          all_aligned(pass.coarse)),
          pitch(std::max(padded_channels(pass.fine_channels), on_tensor_cores ? 2 : 1)),
          tiles(PatchTiles::best(pass.gather, pass.fine_channels, pass.coarse_channels)),
          grid(tiles.tiles, std::int64_t(pass.taps()) * pitch, pass.coarse_channels, pass.groups,
               most_pieces) {}
    double bytes() const {
        const double sums = grid.strips < tile_warps
                                ? double(grid.strips) * strip_numbers * 32 * sizeof(float)
                                : 0.0;
        return std::max(
            sums, double(sizeof(CoarseTile<T>)) + tiles.patch_pixels() * pitch * double(sizeof(T)));
    }
};

// Whether the kernels here are for a pass.
template <class T>
bool is_narrow(const WeightPass<T>& pass) {
    return pass.fine_channels <= most_patch_channels &&
           pass.coarse_channels > most_patch_channels && pass.taps() <= most_patch_taps &&
           NarrowWeights<T>(pass, 1).bytes() <= most_patch_bytes;
}

template <int pitch, class T>
void launch_narrow_weights(const char* op, Stream stream, const WeightPass<T>& pass,
                           const NarrowWeights<T>& all) {
    const auto source =
        patch_source(pass.fine, pass.fine_channels, pitch, pass.gather.source_pitch);
    const bool whole = pass.coarse_channels % full_width<T> == 0 && all_aligned(pass.coarse);
    if constexpr (std::is_same_v<T, bf16> && pitch > 1)
        if (all.on_tensor_cores)
            return launch_narrow(op, stream, all.grid, all.bytes(),
                                 narrow_weight_kernel<NarrowWeightMma<pitch>, pitch, T>, pass,
                                 all.tiles, all.grid, source, whole);
    launch_narrow(op, stream, all.grid, all.bytes(),
                  narrow_weight_kernel<NarrowWeightTotals<pitch, T>, pitch, T>, pass, all.tiles,
                  all.grid, source, whole);
}

template <class T>
void narrow_weight_pass(const char* op, Stream stream, const WeightPass<T>& pass,
                        const NarrowWeights<T>& all) {
    if (all.pitch == 1) return launch_narrow_weights<1>(op, stream, pass, all);
    if (all.pitch == 2) return launch_narrow_weights<2>(op, stream, pass, all);
    launch_narrow_weights<4>(op, stream, pass, all);
}

}  // namespace voxelgrad::cuda

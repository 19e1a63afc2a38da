// Convolution from few channels, as a first layer's: patches of the source and the weights of some
// columns lie in shared memory (conv_patch.cuh).
//
// float32, and bfloat16 into any number of channels: a thread computes 8 pixels x 4 columns, by
// FMAs in the order of taps and channels. bfloat16 into channels in eights: tensor cores, whose
// left operand is read from the patch as it lies there; two neighbouring steps are neighbouring
// channels.
#pragma once

#include <bit>

#include "cuda/core/groups.hpp"
#include "cuda/core/tensor_core.hpp"
#include "cuda/ops/conv_patch.cuh"

namespace voxelgrad::cuda {

constexpr std::int64_t narrow_blocks = 512;  // that a pass is cut into at most, beyond its columns

// The kernels do not ask which of its axes is the weight's last one: `order` says all.
template <class T>
using NarrowPass = ImagePass<T, true>;

struct NarrowGrid {
    TileRanges ranges;
    std::int64_t across, parts;  // blocks of columns; phases and groups

    NarrowGrid(std::int64_t tiles, std::int64_t across, std::int64_t parts)
        : ranges(tiles, divide_up(narrow_blocks, across * parts)), across(across), parts(parts) {}
    std::int64_t blocks() const { return ranges.ranges * across * parts; }
};

// What a block is for. Neighbours differ in their columns, so that they read the same patches.
struct NarrowBlock {
    std::int64_t part, range;
    int column;

    __device__ NarrowBlock(const NarrowGrid& grid, int columns) {
        // Numbers of blocks fit into 32 bits, which are divided sooner.
        const auto across = static_cast<unsigned>(grid.across);
        const auto ranges = static_cast<unsigned>(grid.ranges.ranges);
        column = static_cast<int>(blockIdx.x % across) * columns;
        part = blockIdx.x / across / ranges;
        range = blockIdx.x / across % ranges;
    }
};

constexpr int narrow_columns = 32;                               // of a block without tensor cores
constexpr int narrow_rows = 8;                                   // pixels of a thread
constexpr int narrow_down = tile_pixels / (narrow_columns / 4);  // threads along the pixels

// (taps, channels, columns); columns that are none are zeros.
template <int channels, class T>
__device__ void load_weights(const NarrowPass<T>& pass, const typename NarrowPass<T>::Part& part,
                             const PatchTables& tables, int first_column, float* weight) {
    const int column = static_cast<int>(threadIdx.x) % narrow_columns;
    const int n = first_column + column;
    for (int step = static_cast<int>(threadIdx.x) / narrow_columns; step < part.steps;
         step += tile_pixels / narrow_columns) {
        const int tap = step / channels, k = step - tap * channels;
        const std::int64_t at = part.weight + tables.tap[tap].number * pass.order.tap +
                                k * pass.order.k + n * pass.order.n;
        weight[step * narrow_columns + column] = n < pass.target_channels ? pass.weight[at] : 0.0f;
    }
}

// Where the patch begins behind the weights.
constexpr std::int64_t narrow_weight_size(std::int64_t steps) { return steps * narrow_columns; }

// `whole`: four channels of the target can be stored as one.
template <int channels, class T>
__global__ void __launch_bounds__(tile_pixels)
    narrow_kernel(NarrowPass<T> pass, PatchTiles tiles, NarrowGrid grid, PatchSource<T> source,
                  int most_steps, bool whole) {
    constexpr int pitch = padded_channels(channels);
    VOXELGRAD_SHARED(part, typename NarrowPass<T>::Part);
    VOXELGRAD_SHARED(tables, PatchTables);
    float* const weight = dynamic_shared<float>();
    T* const patch = reinterpret_cast<T*>(weight + narrow_weight_size(most_steps));
    const NarrowBlock block(grid, narrow_columns);
    pass.enter(block.part, part);
    list_taps<pitch>(pass.gather, part.phase, tiles, tables);
    __syncthreads();
    load_weights<channels>(pass, part, tables, block.column, weight);
    source.data += part.source;

    const int own = static_cast<int>(threadIdx.x) % (narrow_columns / 4) * 4;
    const int down = static_cast<int>(threadIdx.x) / (narrow_columns / 4);
    const int taps = part.phase.taps(), column = block.column + own;
    const std::int64_t end = grid.ranges.end(block.range);
    for (std::int64_t tile = grid.ranges.first(block.range); tile < end; ++tile) {
        __syncthreads();  // nobody reads the patch before any more
        enter_tile<pitch>(pass.gather, part.phase, tiles, tile, source, tables, patch);
        __syncthreads();
        float totals[narrow_rows][4] = {};
        int place[narrow_rows];
        VOXELGRAD_UNROLL
        for (int r = 0; r < narrow_rows; ++r)
            place[r] = std::max(tables.place[down + r * narrow_down], 0);
        for (int tap = 0; tap < taps; ++tap) {
            const T* const from = patch + tables.tap[tap].place;
            Pack<T, pitch> pixel[narrow_rows];
            VOXELGRAD_UNROLL
            for (int r = 0; r < narrow_rows; ++r) pixel[r] = load_pack<pitch>(from + place[r]);
            VOXELGRAD_UNROLL
            for (int c = 0; c < channels; ++c) {
                const auto factors =
                    load_pack<4>(weight + (tap * channels + c) * narrow_columns + own);
                VOXELGRAD_UNROLL
                for (int r = 0; r < narrow_rows; ++r) VOXELGRAD_UNROLL
                for (int n = 0; n < 4; ++n)
                    totals[r][n] =
                        fmaf(to_float(pixel[r].value[c]), factors.value[n], totals[r][n]);
            }
        }
        VOXELGRAD_UNROLL
        for (int r = 0; r < narrow_rows; ++r) {
            const int number = down + r * narrow_down;
            if (tables.place[number] < 0) continue;
            T* const pixel = pass.target + tables.target[number];
            if (whole && column < pass.target_channels) {
                pass.template store_pack<4>(pixel, part.target + column, totals[r]);
                continue;
            }
            VOXELGRAD_UNROLL
            for (int n = 0; n < 4; ++n)
                if (column + n < pass.target_channels)
                    pass.template store_pack<1>(pixel, part.target + column + n, totals[r] + n);
        }
    }
}

// Weights for tensor cores, (columns, steps): pixels of the patch have `pitch` channels, and steps
// are filled up with zeros to whole products.
constexpr int product_steps = 16;
constexpr int narrow_steps(std::int64_t taps, int pitch) {
    return static_cast<int>(divide_up(taps * pitch, product_steps)) * product_steps;
}
// An odd number of 16 bytes, so that rows that are read together lie in different banks.
constexpr int narrow_pitch(int steps) { return steps + 8; }

template <int pitch, int columns>
__device__ void round_weights(const NarrowPass<bf16>& pass,
                              const typename NarrowPass<bf16>::Part& part,
                              const PatchTables& tables, int steps, int first_column,
                              bf16* weight) {
    const int thread = static_cast<int>(threadIdx.x), taps = part.phase.taps();
    for (int row = thread / 32; row < columns; row += tile_warps) {
        const int n = first_column + row;
        for (int step = thread % 32; step < steps; step += 32) {
            const int tap = step / pitch, k = step % pitch;
            float value = 0.0f;
            if (n < pass.target_channels && tap < taps && k < pass.source_channels)
                value = pass.weight[part.weight + tables.tap[tap].number * pass.order.tap +
                                    k * pass.order.k + n * pass.order.n];
            weight[row * narrow_pitch(steps) + step] = rounded_to<bf16>(value);
        }
    }
}

// Exchanges among four neighbouring lanes: lane q gives value[j] and gets value[q] of lane j.
__device__ inline void exchange_in_fours(std::uint32_t (&value)[4]) {
    const unsigned lane = threadIdx.x;
    VOXELGRAD_UNROLL
    for (int far = 1; far <= 2; far *= 2) {
        const bool is_high = (lane & far) != 0;
        VOXELGRAD_UNROLL
        for (int j = 0; j < 4; ++j) {
            if (j & far) continue;
            const std::uint32_t got =
                __shfl_xor_sync(whole_warp, is_high ? value[j] : value[j + far], far);
            if (is_high)
                value[j] = got;
            else
                value[j + far] = got;
        }
    }
}

// A warp computes 32 pixels x columns. What a lane holds of the operands and of C: tensor_core.hpp.
template <int pitch, int columns>
struct NarrowTotals {
    static constexpr int down = 2, across = columns / 8;
    float value[down][across][4] = {};

    // `place`: where the lane's four pixels begin to read.
    __device__ void add(const PatchTables& tables, int taps, int steps, const int (&place)[2][2],
                        const bf16* patch, const bf16* weight) {
        const int lane = static_cast<int>(threadIdx.x) % 32;
        const bf16* const row =
            weight + (lane / 16 * 8 + lane % 8) * narrow_pitch(steps) + lane / 8 % 2 * 8;
        for (int step = 0; step < steps; step += product_steps) {
            std::uint32_t a[down][4];
            VOXELGRAD_UNROLL
            for (int half = 0; half < 2; ++half) {
                const int k = step + half * 8 + lane % 4 * 2, tap = k / pitch;
                const bool exists = tap < taps;
                const bf16* const from = patch + (exists ? tables.tap[tap].place : 0) + k % pitch;
                VOXELGRAD_UNROLL
                for (int i = 0; i < down; ++i) VOXELGRAD_UNROLL
                for (int low = 0; low < 2; ++low) {
                    const auto pair = load_pack<2>(from + place[i][low]);
                    a[i][half * 2 + low] = exists ? std::bit_cast<std::uint32_t>(pair) : 0;
                }
            }
            VOXELGRAD_UNROLL
            for (int j = 0; j < across; j += 2) {
                std::uint32_t b[4];
                load_matrices<false>(b, row + j * 8 * narrow_pitch(steps) + step);
                VOXELGRAD_UNROLL
                for (int i = 0; i < down; ++i) VOXELGRAD_UNROLL
                for (int next = 0; next < 2; ++next) {
                    const std::uint32_t half[2] = {b[next * 2], b[next * 2 + 1]};
                    multiply_add<bf16>(value[i][j + next], a[i], half);
                }
            }
        }
    }

    // Runs of 8 channels, which the four lanes that hold them first exchange.
    __device__ void store(const NarrowPass<bf16>& pass, const typename NarrowPass<bf16>::Part& part,
                          const PatchTables& tables, int first_pixel, int first_column) const {
        const int lane = static_cast<int>(threadIdx.x) % 32, piece = lane % 4;
        VOXELGRAD_UNROLL
        for (int group = 0; group < across; group += 4) {
            float bias[4][2] = {};
            VOXELGRAD_UNROLL
            for (int j = 0; j < 4; ++j) VOXELGRAD_UNROLL
            for (int i = 0; i < 2; ++i) {
                const int channel = first_column + (group + j) * 8 + piece * 2 + i;
                if (pass.epilogue.bias && channel < pass.target_channels)
                    bias[j][i] = pass.epilogue.bias[part.target + channel];
            }
            const int own = first_column + (group + piece) * 8;
            VOXELGRAD_UNROLL
            for (int i = 0; i < down; ++i) VOXELGRAD_UNROLL
            for (int low = 0; low < 2; ++low) {
                std::uint32_t run[4];
                VOXELGRAD_UNROLL
                for (int j = 0; j < 4; ++j) {
                    Pack<bf16, 2> pair;
                    VOXELGRAD_UNROLL
                    for (int n = 0; n < 2; ++n)
                        pair.value[n] = rounded_to<bf16>(finished(
                            {bias[j], pass.epilogue.slope}, value[i][group + j][low * 2 + n], n));
                    run[j] = std::bit_cast<std::uint32_t>(pair);
                }
                exchange_in_fours(run);
                const int pixel = first_pixel + i * 16 + low * 8 + lane / 4;
                if (tables.place[pixel] < 0 || own >= pass.target_channels) continue;
                *reinterpret_cast<Pack<std::uint32_t, 4>*>(pass.target + tables.target[pixel] +
                                                           part.target + own) = {
                    {run[0], run[1], run[2], run[3]}};
            }
        }
    }
};

template <int pitch, int columns>
__global__ void __launch_bounds__(tile_pixels)
    narrow_mma_kernel(NarrowPass<bf16> pass, PatchTiles tiles, NarrowGrid grid,
                      PatchSource<bf16> source, int most_steps) {
    VOXELGRAD_SHARED(part, NarrowPass<bf16>::Part);
    VOXELGRAD_SHARED(tables, PatchTables);
    bf16* const weight = dynamic_shared<bf16>();
    bf16* const patch = weight + columns * narrow_pitch(most_steps);
    const NarrowBlock block(grid, columns);
    pass.enter(block.part, part);
    list_taps<pitch>(pass.gather, part.phase, tiles, tables);
    __syncthreads();
    const int taps = part.phase.taps(), steps = narrow_steps(taps, pitch);
    round_weights<pitch, columns>(pass, part, tables, steps, block.column, weight);
    source.data += part.source;

    const int thread = static_cast<int>(threadIdx.x), first_pixel = thread / 32 * 32;
    const std::int64_t end = grid.ranges.end(block.range);
    for (std::int64_t tile = grid.ranges.first(block.range); tile < end; ++tile) {
        __syncthreads();  // nobody reads the patch before any more
        enter_tile<pitch>(pass.gather, part.phase, tiles, tile, source, tables, patch);
        __syncthreads();
        int place[2][2];
        VOXELGRAD_UNROLL
        for (int i = 0; i < 2; ++i) VOXELGRAD_UNROLL
        for (int low = 0; low < 2; ++low)
            place[i][low] =
                std::max(tables.place[first_pixel + i * 16 + low * 8 + thread % 32 / 4], 0);
        NarrowTotals<pitch, columns> totals;
        totals.add(tables, taps, steps, place, patch, weight);
        totals.store(pass, part, tables, first_pixel, block.column);
    }
}

template <class Blocks, class Kernel, class... Arguments>
void launch_narrow(const char* op, Stream stream, const Blocks& grid, double bytes, Kernel kernel,
                   const Arguments&... arguments) {
    check(grid.blocks() <= INT_MAX, op, ": ", grid.blocks(), " blocks are too many for a launch");
    launch(op, stream,
           {dim3(static_cast<unsigned>(grid.blocks())), dim3(tile_pixels),
            static_cast<std::size_t>(bytes)},
           kernel, arguments...);
}

template <int channels, class T>
bool narrow_pass(const char* op, Stream stream, const NarrowPass<T>& pass,
                 const PatchTiles& tiles) {
    constexpr int pitch = padded_channels(channels);
    const std::int64_t taps = pass.gather.most_taps();
    const double bytes = narrow_weight_size(taps * channels) * sizeof(float) +
                         tiles.patch_pixels() * pitch * sizeof(T);
    if (bytes > most_patch_bytes) return false;
    const NarrowGrid grid(tiles.tiles, divide_up(pass.target_channels, narrow_columns),
                          pass.parts());
    const bool whole = pass.target_channels % 4 == 0 && all_aligned(pass.target);
    launch_narrow(op, stream, grid, bytes, narrow_kernel<channels, T>, pass, tiles, grid,
                  patch_source(pass.source, channels, pitch, pass.gather.source_pitch),
                  static_cast<int>(taps) * channels, whole);
    return true;
}

template <int pitch, int columns>
bool narrow_mma(const char* op, Stream stream, const NarrowPass<bf16>& pass,
                const PatchTiles& tiles) {
    const int steps = narrow_steps(pass.gather.most_taps(), pitch);
    const double bytes =
        (columns * narrow_pitch(steps) + tiles.patch_pixels() * pitch) * sizeof(bf16);
    if (bytes > most_patch_bytes) return false;
    const NarrowGrid grid(tiles.tiles, divide_up(pass.target_channels, columns), pass.parts());
    launch_narrow(op, stream, grid, bytes, narrow_mma_kernel<pitch, columns>, pass, tiles, grid,
                  patch_source(pass.source, pass.source_channels, pitch, pass.gather.source_pitch),
                  steps);
    return true;
}

template <int pitch>
bool narrow_mma(const char* op, Stream stream, const NarrowPass<bf16>& pass,
                const PatchTiles& tiles) {
    if (pass.target_channels <= 32) return narrow_mma<pitch, 32>(op, stream, pass, tiles);
    return narrow_mma<pitch, 64>(op, stream, pass, tiles);
}

// Computes the pass and returns true if it is one for the kernels here.
template <class T, bool inner>
bool narrow_image_pass(const char* op, Stream stream, const ImagePass<T, inner>& given) {
    if (given.source_channels > most_patch_channels || given.gather.most_taps() > most_patch_taps)
        return false;
    const NarrowPass<T> pass{given.gather,          given.source,
                             given.weight,          given.epilogue,
                             given.target,          given.groups,
                             given.source_channels, given.target_channels,
                             given.order,           given.by_source_channels};
    const PatchTiles tiles =
        PatchTiles::best(pass.gather, pass.source_channels, pass.target_channels);
    if constexpr (std::is_same_v<T, bf16>)
        if (pass.target_channels % 8 == 0 && all_aligned(pass.target))
            return pass.source_channels <= 2 ? narrow_mma<2>(op, stream, pass, tiles)
                                             : narrow_mma<4>(op, stream, pass, tiles);
    switch (pass.source_channels) {
        case 1: return narrow_pass<1>(op, stream, pass, tiles);
        case 2: return narrow_pass<2>(op, stream, pass, tiles);
        case 3: return narrow_pass<3>(op, stream, pass, tiles);
        case 4: return narrow_pass<4>(op, stream, pass, tiles);
    }
    return false;
}

}  // namespace voxelgrad::cuda

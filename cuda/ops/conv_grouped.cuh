// Convolution in groups of few channels, depthwise above all: nothing is shared between channels
// that a matrix product could keep, so threads sum single channels of pixels, neighbours side by
// side.
#pragma once

#include "cuda/ops/conv_pass.cuh"
#include "cuda/ops/reduce.cuh"

namespace voxelgrad::cuda {

constexpr int most_grouped = 4;    // channels of a group on either side
constexpr int grouped_steps = 32;  // that lie in shared memory at a time
constexpr int grouped_pixels = 4;  // of a thread

// Steps are taps and channels of the group's source: weights and shifts of some of them.
template <int width>
struct GroupedSlice {
    float weight[grouped_steps][most_columns * width];
    Shift shift[grouped_steps];
};

// What the threads of a block compute: `across` runs of channels by some pixels of a phase.
struct GroupedLayout {
    std::int64_t channels, strips, tiles;
    int across, down;

    GroupedLayout(std::int64_t channels, int width, std::int64_t pixels)
        : channels(channels),
          across(power_of_two_up_to(divide_up(channels, width), most_columns)),
          down(block_threads / across) {
        strips = divide_up(channels, across * width);
        tiles = divide_up(pixels, down * grouped_pixels);
    }
};

template <int width, class Pass>
__device__ void fill_slice(const Pass& pass, const typename Pass::Part& part, int first, int count,
                           std::int64_t first_channel, int columns, GroupedSlice<width>& slice) {
    if (static_cast<int>(threadIdx.x) < count)
        slice.shift[threadIdx.x] = pass.step(part, first + threadIdx.x).shift;
    for (int i = threadIdx.x; i < count * columns; i += block_threads) {
        const int step = i / columns, column = i - step * columns;
        const std::int64_t channel = first_channel + column, group = channel / pass.target_channels;
        float value = 0.0f;
        if (group < pass.groups) {
            const auto from = pass.step(part, first + step);
            const std::int64_t n = channel - group * pass.target_channels;
            value = pass.weight[group * pass.order.group + from.weight + n * pass.order.n];
        }
        slice.weight[step][column] = value;
    }
}

// width > 1: one channel a group on both sides. The group of `part` is the first one.
template <int width, class T, bool inner>
__global__ void __launch_bounds__(block_threads)
    grouped_kernel(ImagePass<T, inner> pass, GroupedLayout layout) {
    using Pass = ImagePass<T, inner>;
    VOXELGRAD_SHARED(slice, GroupedSlice<width>);
    VOXELGRAD_SHARED(part, typename Pass::Part);
    const std::int64_t number = blockIdx.x, tile = number / layout.strips;
    pass.enter(tile / layout.tiles * pass.groups, part);
    const int columns = layout.across * width;
    const std::int64_t first_channel = number % layout.strips * columns;
    const int own = threadIdx.x % layout.across * width, down = threadIdx.x / layout.across;
    const std::int64_t channel = first_channel + own;
    const std::int64_t source_channel = channel / pass.target_channels * pass.source_channels;
    const std::int64_t first_pixel = tile % layout.tiles * layout.down * grouped_pixels + down;

    Place place[grouped_pixels];
    float totals[grouped_pixels][width] = {};
    VOXELGRAD_UNROLL
    for (int p = 0; p < grouped_pixels; ++p) {
        place[p] =
            channel < layout.channels ? pass.row(part, first_pixel + p * layout.down) : no_place();
        place[p].base += source_channel;
    }
    for (int first = 0; first < part.steps; first += grouped_steps) {
        const int count = std::min(int{grouped_steps}, part.steps - first);
        __syncthreads();
        fill_slice<width>(pass, part, first, count, first_channel, columns, slice);
        __syncthreads();
        for (int s = 0; s < count; ++s) VOXELGRAD_UNROLL
        for (int p = 0; p < grouped_pixels; ++p) {
            const T* const from = pass.gather.read(pass.source, place[p], slice.shift[s]);
            if (!from) continue;
            const auto pack = *reinterpret_cast<const Pack<T, width>*>(from);
            VOXELGRAD_UNROLL
            for (int w = 0; w < width; ++w)
                totals[p][w] =
                    fmaf(to_float(pack.value[w]), slice.weight[s][own + w], totals[p][w]);
        }
    }
    if (channel >= layout.channels) return;
    VOXELGRAD_UNROLL
    for (int p = 0; p < grouped_pixels; ++p) {
        const std::int64_t pixel = first_pixel + p * layout.down;
        if (pixel < part.rows)
            pass.template store_pack<width>(pass.target + pass.gather.target(part.phase, pixel),
                                            channel, totals[p]);
    }
}

template <class T, bool inner>
void grouped_image_pass(const char* op, Stream stream, const ImagePass<T, inner>& pass) {
    const std::int64_t channels = std::int64_t(pass.groups) * pass.target_channels;
    const bool whole = pass.source_channels == 1 && pass.target_channels == 1 &&
                       channels % 4 == 0 && all_aligned(pass.source, pass.target);
    const GroupedLayout layout(channels, whole ? 4 : 1, pass.most_rows());
    const std::int64_t blocks = pass.gather.phases() * layout.tiles * layout.strips;
    check(blocks <= INT_MAX, op, ": ", blocks, " blocks are too many for a launch");
    const Grid grid{dim3(static_cast<unsigned>(blocks)), dim3(block_threads)};
    if (whole)
        launch(op, stream, grid, grouped_kernel<4, T, inner>, pass, layout);
    else
        launch(op, stream, grid, grouped_kernel<1, T, inner>, pass, layout);
}

// A block sums the weights of one tap and some pairs of channels over a piece of the pixels; pairs
// are numbered by group, coarse channel, fine channel.
template <class T>
__global__ void __launch_bounds__(block_threads)
    grouped_weight_kernel(WeightPass<T> pass, GroupedLayout layout) {
    VOXELGRAD_SHARED(part, typename WeightPass<T>::Part);
    VOXELGRAD_SHARED(totals, float[block_threads]);
    const int thread = threadIdx.x, down = thread / layout.across;
    const std::int64_t number = blockIdx.x, strip = number % layout.strips;
    const int tap = static_cast<int>(number / layout.strips % pass.taps());
    const std::int64_t piece = number / layout.strips / pass.taps();
    pass.enter(piece * pass.groups, part);
    const std::int64_t pair = strip * layout.across + thread % layout.across;
    const int pairs = pass.coarse_channels * pass.fine_channels;  // of a group
    const std::int64_t group = pair / pairs;
    const int row = static_cast<int>(pair % pairs) / pass.fine_channels;
    const int column = static_cast<int>(pair % pairs) % pass.fine_channels;

    float total = 0.0f;
    if (pair < layout.channels) {
        Shift shift = pass.column(part, tap * pass.fine_channels + column);
        shift.distance += group * pass.fine_channels;
        const std::int64_t own = group * pass.coarse_channels + row;
        for (std::int64_t pixel = part.first + down; pixel < part.end; pixel += layout.down) {
            const auto step = pass.step(part, pixel);
            const T* const from = pass.b(step, shift);
            if (from) total = fmaf(to_float(*pass.a(own, step)), to_float(*from), total);
        }
    }
    totals[thread] = total;
    for (int half = layout.down / 2; half > 0; half /= 2) {
        __syncthreads();
        if (down < half) totals[thread] += totals[thread + half * layout.across];
    }
    if (down == 0 && pair < layout.channels)
        pass.output[part.output + group * pass.order.group + row * pass.order.n +
                    tap * pass.order.tap + column * pass.order.k] = totals[thread];
}

template <class T>
void grouped_weight_pass(const char* op, Stream stream, const WeightPass<T>& pass,
                         std::int64_t pairs, std::int64_t pieces) {
    const GroupedLayout layout(pairs, 1, 1);
    const std::int64_t blocks = layout.strips * pass.taps() * pieces;
    check(blocks <= INT_MAX, op, ": ", blocks, " blocks are too many for a launch");
    launch(op, stream, {dim3(static_cast<unsigned>(blocks)), dim3(block_threads)},
           grouped_weight_kernel<T>, pass, layout);
}

// Whether the functions here are for this convolution.
inline bool is_grouped(const ConvGeometry& g) {
    return g.groups > 1 && g.fine_channels <= most_grouped && g.coarse_channels <= most_grouped;
}

}  // namespace voxelgrad::cuda

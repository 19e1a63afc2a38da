// Convolution into few channels, as a head's: a tile of a matrix product would be empty for the
// most part, so a thread computes all channels of some pixels. Weights come from shared memory.
#pragma once

#include "cuda/core/launch.hpp"
#include "cuda/ops/conv_pass.cuh"

namespace voxelgrad::cuda {

constexpr int most_few = 4;     // channels of the target
constexpr int few_steps = 128;  // taps and source channels that lie in shared memory at a time
constexpr int few_pixels = 2;   // of a thread
constexpr int few_tile = block_threads * few_pixels;

struct FewSlice {
    float weight[few_steps][most_few];
    Shift shift[few_steps];
};

template <class Pass>
__device__ void fill_slice(const Pass& pass, const typename Pass::Part& part, int first, int count,
                           FewSlice& slice) {
    for (int s = threadIdx.x; s < count; s += block_threads) {
        const auto step = pass.step(part, first + s);
        slice.shift[s] = step.shift;
        VOXELGRAD_UNROLL
        for (int n = 0; n < most_few; ++n) {
            const float* const from = pass.b(step, pass.column(part, n));
            slice.weight[s][n] = from ? *from : 0.0f;
        }
    }
}

// `width` source channels are read at a time; slices begin and end at whole runs of them. `whole`:
// the target's are stored as one.
template <int width, class T, bool inner>
__global__ void __launch_bounds__(block_threads)
    few_kernel(ImagePass<T, inner> pass, std::int64_t tiles, bool whole) {
    using Pass = ImagePass<T, inner>;
    VOXELGRAD_SHARED(slice, FewSlice);
    VOXELGRAD_SHARED(part, typename Pass::Part);
    pass.enter(blockIdx.x / tiles, part);
    const std::int64_t pixel = blockIdx.x % tiles * few_tile + threadIdx.x;
    Place place[few_pixels];
    float totals[few_pixels][most_few] = {};
    VOXELGRAD_UNROLL
    for (int p = 0; p < few_pixels; ++p) place[p] = pass.row(part, pixel + p * block_threads);
    for (int first = 0; first < part.steps; first += few_steps) {
        const int count = std::min(int{few_steps}, part.steps - first);
        __syncthreads();
        fill_slice(pass, part, first, count, slice);
        __syncthreads();
        for (int s = 0; s < count; s += width) VOXELGRAD_UNROLL
        for (int p = 0; p < few_pixels; ++p) {
            const T* const from = pass.gather.read(pass.source, place[p], slice.shift[s]);
            if (!from) continue;
            const auto pack = *reinterpret_cast<const Pack<T, width>*>(from);
            VOXELGRAD_UNROLL
            for (int w = 0; w < width; ++w) VOXELGRAD_UNROLL
            for (int n = 0; n < most_few; ++n)
                totals[p][n] = fmaf(to_float(pack.value[w]), slice.weight[s + w][n], totals[p][n]);
        }
    }
    VOXELGRAD_UNROLL
    for (int p = 0; p < few_pixels; ++p) {
        if (whole)
            pass.template store<most_few>(part, pixel + p * block_threads, 0, totals[p]);
        else
            pass.template store<1>(part, pixel + p * block_threads, 0, totals[p]);
    }
}

template <class T, bool inner>
void few_image_pass(const char* op, Stream stream, const ImagePass<T, inner>& pass) {
    const std::int64_t tiles = divide_up(pass.most_rows(), few_tile);
    const std::int64_t blocks = tiles * pass.parts();
    check(blocks <= INT_MAX, op, ": ", blocks, " blocks are too many for a launch");
    const Grid grid{dim3(static_cast<unsigned>(blocks)), dim3(block_threads)};
    const auto reads_in = [&](int width) {
        return pass.source_channels % width == 0 && all_aligned(pass.source);
    };
    const bool whole = pass.target_channels == most_few && all_aligned(pass.target);
    const auto kernel = reads_in(full_width<T>) ? few_kernel<full_width<T>, T, inner>
                        : reads_in(4)           ? few_kernel<4, T, inner>
                                                : few_kernel<1, T, inner>;
    launch(op, stream, grid, kernel, pass, tiles, whole);
}

// Whether the function above is for a pass.
template <class T, bool inner>
bool is_few(const ImagePass<T, inner>& pass) {
    return pass.target_channels <= most_few;
}

}  // namespace voxelgrad::cuda

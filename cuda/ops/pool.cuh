// Pooling; semantics as in cpp/ops/pool.hpp. How threads map: window.cuh.
#pragma once

#include <climits>

#include "cuda/ops/window.cuh"

namespace voxelgrad::cuda {

// The maximum and its place: the first NaN wins, else the first maximum.
template <int width, class T, class Index>
__global__ void max_forward_kernel(Windows<PoolForward> windows, std::int64_t packs,
                                   const T* source, T* target, Index* indices) {
    for_window_packs<width>(
        windows, packs, [&](const WindowTaps<PoolForward>& taps, std::int64_t at) {
            Pack<T, width> best;
            Pack<Index, width> where;
            bool is_first = true;
            taps.for_all([&](std::int64_t offset, int tap, float) {
                const Pack<T, width> pixel = load_pack<width>(source + offset);
                VOXELGRAD_UNROLL
                for (int i = 0; i < width; ++i) {
                    const float value = to_float(pixel.value[i]), held = to_float(best.value[i]);
                    // The value is greater or NaN, and no NaN came before.
                    if (is_first || (!(value <= held) && held == held)) {
                        best.value[i] = pixel.value[i];
                        where.value[i] = static_cast<Index>(tap);
                    }
                }
                is_first = false;
            });
            *reinterpret_cast<Pack<T, width>*>(target + at) = best;
            *reinterpret_cast<Pack<Index, width>*>(indices + at) = where;
        });
}

// A maximum among some of a window's taps.
struct Maximum {
    float value;
    int place;

    __device__ bool is_nan() const { return value != value; }
    __device__ bool beats(const Maximum& other) const {
        if (is_nan() != other.is_nan()) return is_nan();
        if (is_nan() || value == other.value) return place < other.place;
        return value > other.value;
    }
};

// The same by a team for each pack, whose members take every size-th tap.
template <int width, class T, class Index>
__global__ void wide_max_forward_kernel(Teams teams, Windows<PoolForward> windows, const T* source,
                                        T* target, Index* indices) {
    VOXELGRAD_SHARED(memory, Maximum[block_threads]);
    const std::int64_t pack = teams.job();
    const bool exists = pack < teams.jobs;
    Maximum best[width];
    VOXELGRAD_UNROLL
    for (int i = 0; i < width; ++i) best[i] = {-INFINITY, INT_MAX};
    if (exists) {
        const WindowPlace place = place_of_pack<width>(windows, pack);
        WindowTaps<PoolForward>(windows, place)
            .for_some(teams.member(), teams.size, [&](std::int64_t offset, int tap, float) {
                const Pack<T, width> pixel = load_pack<width>(source + offset);
                VOXELGRAD_UNROLL
                for (int i = 0; i < width; ++i) {
                    const Maximum found{to_float(pixel.value[i]), tap};
                    if (found.beats(best[i])) best[i] = found;
                }
            });
    }
    VOXELGRAD_UNROLL
    for (int i = 0; i < width; ++i) {
        best[i] = teams.combine(
            memory, best[i], [](const Maximum& a, const Maximum& b) { return b.beats(a) ? b : a; });
        if (!exists || teams.member() != 0) continue;
        target[pack * width + i] = rounded_to<T>(best[i].value);
        indices[pack * width + i] = static_cast<Index>(best[i].place);
    }
}

// Every pixel sums the gradients of the windows whose maximum it was.
template <int width, class T, class Index>
__global__ void max_backward_kernel(Windows<PoolBackward> windows, std::int64_t packs,
                                    const T* source, const Index* indices, T* target) {
    for_window_packs<width>(
        windows, packs, [&](const WindowTaps<PoolBackward>& taps, std::int64_t at) {
            float total[width] = {};
            taps.for_all([&](std::int64_t offset, int tap, float) {
                const Pack<Index, width> where = load_pack<width>(indices + offset);
                const Pack<T, width> grad = load_pack<width>(source + offset);
                VOXELGRAD_UNROLL
                for (int i = 0; i < width; ++i)
                    if (where.value[i] == static_cast<Index>(tap))
                        total[i] += to_float(grad.value[i]);
            });
            store_rounded(total, target + at);
        });
}

// `Direction` is PoolForward or PoolBackward.
template <class Direction, class Input, class Output>
Windows<Direction> pool_windows(const PoolSettings& pool, const View<Input>& input,
                                const View<Output>& output, bool count_include_pad) {
    std::vector<Direction> axes;
    for (const PoolAxis& axis : pool_axes(pool, input, output))
        axes.push_back({axis, count_include_pad});
    return windows_over(axes, Direction(), input[0], input.last());
}

template <class T, class Index>
void max_pool_forward(Stream stream, View<const T> input, View<T> output, View<Index> indices,
                      const Dims& kernel_size, const Dims& stride, const Dims& padding) {
    constexpr const char* op = "max_pool_forward";
    check_indices<Index>(op, kernel_size);
    check_same_shape(op, "indices", indices, "output", output);
    const bool in_packs = packs_fit<T>(input.last(), input.data, output.data, indices.data);
    const auto windows =
        pool_windows<PoolForward>({op, kernel_size, stride, padding}, input, output, true)
            .in_packs(in_packs ? full_width<T> : 1);
    const std::int64_t packs = output.size() / (in_packs ? full_width<T> : 1);
    if (windows.usual_taps() >= wide_window) {
        const Teams teams(packs, windows.usual_taps(), wide_share);
        return launch(op, stream, teams.grid(),
                      in_packs ? wide_max_forward_kernel<full_width<T>, T, Index>
                               : wide_max_forward_kernel<1, T, Index>,
                      teams, windows, input.data, output.data, indices.data);
    }
    launch(op, stream, threads_for(packs),
           in_packs ? max_forward_kernel<full_width<T>, T, Index> : max_forward_kernel<1, T, Index>,
           windows, packs, input.data, output.data, indices.data);
}

template <class T, class Index>
void max_pool_backward(Stream stream, View<const T> grad_output, View<const Index> indices,
                       View<T> grad_input, const Dims& kernel_size, const Dims& stride,
                       const Dims& padding) {
    constexpr const char* op = "max_pool_backward";
    check_indices<Index>(op, kernel_size);
    check_same_shape(op, "indices", indices, "grad_output", grad_output);
    const bool in_packs =
        packs_fit<T>(grad_input.last(), grad_output.data, indices.data, grad_input.data);
    const auto windows = pool_windows<PoolBackward>({op, kernel_size, stride, padding}, grad_input,
                                                    grad_output, true)
                             .in_packs(in_packs ? full_width<T> : 1);
    const std::int64_t packs = grad_input.size() / (in_packs ? full_width<T> : 1);
    launch(
        op, stream, threads_for(packs),
        in_packs ? max_backward_kernel<full_width<T>, T, Index> : max_backward_kernel<1, T, Index>,
        windows, packs, grad_output.data, indices.data, grad_input.data);
}

template <class T>
void avg_pool_forward(Stream stream, View<const T> input, View<T> output, const Dims& kernel_size,
                      const Dims& stride, const Dims& padding, bool count_include_pad) {
    const PoolSettings pool{"avg_pool_forward", kernel_size, stride, padding};
    window_sum(pool.op, stream, pool_windows<PoolForward>(pool, input, output, count_include_pad),
               input.data, output.data);
}

template <class T>
void avg_pool_backward(Stream stream, View<const T> grad_output, View<T> grad_input,
                       const Dims& kernel_size, const Dims& stride, const Dims& padding,
                       bool count_include_pad) {
    const PoolSettings pool{"avg_pool_backward", kernel_size, stride, padding};
    window_sum(pool.op, stream,
               pool_windows<PoolBackward>(pool, grad_input, grad_output, count_include_pad),
               grad_output.data, grad_input.data);
}

template <class T>
void adaptive_avg_pool_forward(Stream stream, View<const T> input, View<T> output) {
    constexpr const char* op = "adaptive_avg_pool_forward";
    table_sum(op, stream, input[0], adaptive_axes(op, input, output), input.last(), input.data,
              output.data);
}

template <class T>
void adaptive_avg_pool_backward(Stream stream, View<const T> grad_output, View<T> grad_input) {
    constexpr const char* op = "adaptive_avg_pool_backward";
    table_sum(op, stream, grad_input[0], transposed(adaptive_axes(op, grad_input, grad_output)),
              grad_input.last(), grad_output.data, grad_input.data);
}

}  // namespace voxelgrad::cuda

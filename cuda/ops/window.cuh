// Gathers over images (N, *spatial, C): every target pixel from the source pixels in its window,
// channel by channel. Pooling, interpolation and their backward passes are such gathers.
//
// A thread computes one pack of channels of one target pixel: neighbouring threads have
// neighbouring packs, then neighbouring columns, so that loads and stores of a warp are contiguous
// wherever the windows of neighbours are. Taps are added in their order, in float. Source pixels
// that windows share come from the caches.
#pragma once

#include "cuda/core/divisor.hpp"
#include "cuda/core/pack.hpp"
#include "cuda/core/teams.hpp"
#include "cuda/ops/window_axes.cuh"

namespace voxelgrad::cuda {

template <class Axis>
struct Windows {
    Axis axis[window_axes];  // planes, rows, columns
    std::int64_t samples, channels;
    WideDivisor packs_a_pixel, length[window_axes];  // of the target

    Windows(const Axis& unit, std::int64_t samples, std::int64_t channels)
        : axis{unit, unit, unit}, samples(samples), channels(channels) {}

    // For threads that have packs of `width` channels.
    Windows in_packs(int width) const {
        Windows result = *this;
        if (pixels() == 0 || channels < width) return result;
        result.packs_a_pixel = WideDivisor(channels / width);
        for (int a = 0; a < window_axes; ++a) result.length[a] = WideDivisor(axis[a].target());
        return result;
    }
    std::int64_t pixels() const {
        return samples * axis[0].target() * axis[1].target() * axis[2].target();
    }
    std::int64_t usual_taps() const {
        return std::int64_t{axis[0].usual_taps()} * axis[1].usual_taps() * axis[2].usual_taps();
    }
};

// Images with fewer axes have leading ones of length 1, along which `unit` maps.
template <class Axis>
Windows<Axis> windows_over(const std::vector<Axis>& axes, const Axis& unit, std::int64_t samples,
                           std::int64_t channels) {
    Windows<Axis> windows(unit, samples, channels);
    std::copy(axes.begin(), axes.end(), windows.axis + (window_axes - axes.size()));
    return windows;
}

// Where a thread's pack of the target lies.
struct WindowPlace {
    std::int64_t sample, channel;
    int at[window_axes];
};

template <class Axis>
__device__ WindowPlace window_place(const Windows<Axis>& windows, std::int64_t pixel,
                                    std::int64_t channel) {
    WindowPlace place{0, channel, {}};
    VOXELGRAD_UNROLL
    for (int a = window_axes - 1; a >= 0; --a) {
        const auto [next, at] = windows.length[a].split(pixel);
        place.at[a] = static_cast<int>(at);
        pixel = next;
    }
    place.sample = pixel;
    return place;
}

// The taps of a target along each axis.
template <class Axis>
struct WindowTaps {
    const Windows<Axis>& windows;
    const WindowPlace& place;
    AxisTaps depth, height, width;

    __device__ WindowTaps(const Windows<Axis>& windows, const WindowPlace& place)
        : windows(windows),
          place(place),
          depth(windows.axis[0].range(place.at[0])),
          height(windows.axis[1].range(place.at[1])),
          width(windows.axis[2].range(place.at[2])) {}

    // Calls body(offset, place, weight) for all taps, or for every `step`-th of them from `first`
    // on; offsets are those of the pack in the source.
    template <class Body>
    __device__ void for_all(const Body& body) const {
        for (int i = depth.begin; i < depth.end; ++i)
            for (int j = height.begin; j < height.end; ++j)
                for (int k = width.begin; k < width.end; ++k) visit(i, j, k, body);
    }
    template <class Body>
    __device__ void for_some(int first, int step, const Body& body) const {
        const int columns = width.end - width.begin, rows = height.end - height.begin;
        const int count = (depth.end - depth.begin) * rows * columns;
        for (int t = first; t < count; t += step) {
            const int line = t / columns, plane = line / rows;
            visit(depth.begin + plane, height.begin + line - plane * rows,
                  width.begin + t - line * columns, body);
        }
    }

 private:
    template <class Body>
    __device__ void visit(int i, int j, int k, const Body& body) const {
        const auto& [planes, rows, columns] = windows.axis;
        const AxisTap plane = planes.tap(place.at[0], i), row = rows.tap(place.at[1], j);
        const AxisTap column = columns.tap(place.at[2], k);
        const std::int64_t line =
            (place.sample * planes.source() + plane.position) * rows.source() + row.position;
        body((line * columns.source() + column.position) * windows.channels + place.channel,
             plane.place + row.place + column.place, plane.weight * row.weight * column.weight);
    }
};

// Where the pack with this number of the target lies.
template <int width, class Axis>
__device__ WindowPlace place_of_pack(const Windows<Axis>& windows, std::int64_t pack) {
    const auto [pixel, own] = windows.packs_a_pixel.split(pack);
    return window_place(windows, pixel, own * width);
}

// Calls body(taps, at) in every thread that has a pack of the target, which begins at `at`.
template <int width, class Axis, class Body>
__device__ void for_window_packs(const Windows<Axis>& windows, std::int64_t packs,
                                 const Body& body) {
    const std::int64_t thread = std::int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (thread >= packs) return;
    const WindowPlace place = place_of_pack<width>(windows, thread);
    body(WindowTaps<Axis>(windows, place), thread * width);
}

// target = sum over the window of weight * source.
template <int width, class T>
struct WeightedSum {
    const T* source;
    float total[width] = {};

    __device__ void add(std::int64_t offset, float weight) {
        const Pack<T, width> pixel = load_pack<width>(source + offset);
        VOXELGRAD_UNROLL
        for (int i = 0; i < width; ++i) total[i] = fmaf(to_float(pixel.value[i]), weight, total[i]);
    }
};

template <int width, class Axis, class T>
__global__ void window_sum_kernel(Windows<Axis> windows, std::int64_t packs, const T* source,
                                  T* target) {
    for_window_packs<width>(windows, packs, [&](const WindowTaps<Axis>& taps, std::int64_t at) {
        WeightedSum<width, T> sum{source};
        taps.for_all([&](std::int64_t offset, int, float weight) { sum.add(offset, weight); });
        store_rounded(sum.total, target + at);
    });
}

// A team for each pack: its members take every size-th tap.
template <int width, class Axis, class T>
__global__ void wide_window_sum_kernel(Teams teams, Windows<Axis> windows, const T* source,
                                       T* target) {
    VOXELGRAD_SHARED(memory, float[block_threads]);
    const std::int64_t pack = teams.job();
    const bool exists = pack < teams.jobs;
    WeightedSum<width, T> sum{source};
    if (exists) {
        const WindowPlace place = place_of_pack<width>(windows, pack);
        WindowTaps<Axis>(windows, place)
            .for_some(teams.member(), teams.size,
                      [&](std::int64_t offset, int, float weight) { sum.add(offset, weight); });
    }
    VOXELGRAD_UNROLL
    for (int i = 0; i < width; ++i) sum.total[i] = teams.sum(memory, sum.total[i]);
    if (exists && teams.member() == 0) store_rounded(sum.total, target + pack * width);
}

// Windows that a team of threads shares; there are few of them usually, such as one an image.
constexpr std::int64_t wide_window = 256;  // taps
constexpr int wide_share = 8;              // taps of a member at least

template <class Axis, class T>
void window_sum(const char* op, Stream stream, const Windows<Axis>& windows, const T* source,
                T* target) {
    const bool in_packs = packs_fit<T>(windows.channels, source, target);
    const int width = in_packs ? full_width<T> : 1;
    const std::int64_t packs = windows.pixels() * windows.channels / width;
    if (windows.usual_taps() >= wide_window) {
        const Teams teams(packs, windows.usual_taps(), wide_share);
        return launch(op, stream, teams.grid(),
                      in_packs ? wide_window_sum_kernel<full_width<T>, Axis, T>
                               : wide_window_sum_kernel<1, Axis, T>,
                      teams, windows.in_packs(width), source, target);
    }
    launch(op, stream, threads_for(packs),
           in_packs ? window_sum_kernel<full_width<T>, Axis, T> : window_sum_kernel<1, Axis, T>,
           windows.in_packs(width), packs, source, target);
}

// The same with tables that are made on the host.
template <class T>
void table_sum(const char* op, Stream stream, std::int64_t samples, std::vector<WindowAxis> axes,
               std::int64_t channels, const T* source, T* target) {
    const WindowAxis unit{1, {0, 1}, {{0, 0, 1.0f}}};
    while (axes.size() < window_axes) axes.insert(axes.begin(), unit);
    const DeviceTables tables(op, stream, axes);
    window_sum(op, stream, windows_over(tables.axes(), tables.axes().front(), samples, channels),
               source, target);
}

}  // namespace voxelgrad::cuda

// Gathers over images (N, *spatial, C): every target pixel from the source pixels in its window,
// channel by channel. Pooling, interpolation and their backward passes are such gathers.
//
// A thread computes one pack of channels of one target pixel: neighbouring threads have
// neighbouring packs, then neighbouring columns, so that loads and stores of a warp are contiguous
// wherever the windows of neighbours are. Taps are added in their order, in float. Source pixels
// that windows share come from the caches.
#pragma once

#include "cuda/core/pack.hpp"
#include "cuda/ops/window_axes.cuh"

namespace voxelgrad::cuda {

template <class Axis>
struct Windows {
    Axis axis[window_axes];  // planes, rows, columns
    std::int64_t samples, channels;

    std::int64_t pixels() const {
        return samples * axis[0].target() * axis[1].target() * axis[2].target();
    }
};

// Images with fewer axes have leading ones of length 1, along which `unit` maps.
template <class Axis>
Windows<Axis> windows_over(const std::vector<Axis>& axes, const Axis& unit, std::int64_t samples,
                           std::int64_t channels) {
    Windows<Axis> windows{{unit, unit, unit}, samples, channels};
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
        const std::int64_t length = windows.axis[a].target(), next = pixel / length;
        place.at[a] = static_cast<int>(pixel - next * length);
        pixel = next;
    }
    place.sample = pixel;
    return place;
}

// Calls body(offset, place, weight) for every tap; offsets are those of the pack in the source.
template <class Axis, class Body>
__device__ void for_taps(const Windows<Axis>& windows, const WindowPlace& place, const Body& body) {
    const auto& [planes, rows, columns] = windows.axis;
    const AxisTaps depth = planes.range(place.at[0]), height = rows.range(place.at[1]);
    const AxisTaps width = columns.range(place.at[2]);
    for (int i = depth.begin; i < depth.end; ++i) {
        const AxisTap plane = planes.tap(place.at[0], i);
        const std::int64_t first_row =
            (place.sample * planes.source() + plane.position) * rows.source();
        for (int j = height.begin; j < height.end; ++j) {
            const AxisTap row = rows.tap(place.at[1], j);
            const std::int64_t first_column = (first_row + row.position) * columns.source();
            const int outer_place = plane.place + row.place;
            const float outer_weight = plane.weight * row.weight;
            for (int k = width.begin; k < width.end; ++k) {
                const AxisTap column = columns.tap(place.at[2], k);
                body((first_column + column.position) * windows.channels + place.channel,
                     outer_place + column.place, outer_weight * column.weight);
            }
        }
    }
}

// Calls body(place, at) in every thread that has a pack of the target, which begins at `at`.
template <int width, class Axis, class Body>
__device__ void for_window_packs(const Windows<Axis>& windows, std::int64_t packs,
                                 const Body& body) {
    const std::int64_t thread = std::int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (thread >= packs) return;
    const std::int64_t packs_a_pixel = windows.channels / width, pixel = thread / packs_a_pixel;
    const std::int64_t channel = (thread - pixel * packs_a_pixel) * width;
    body(window_place(windows, pixel, channel), thread * width);
}

template <int width, class T>
__device__ Pack<T, width> load_pack(const T* from) {
    return *reinterpret_cast<const Pack<T, width>*>(from);
}

template <int width, class T>
__device__ void store_rounded(const float (&values)[width], T* to) {
    Pack<T, width> pack;
    VOXELGRAD_UNROLL
    for (int i = 0; i < width; ++i) pack.value[i] = rounded_to<T>(values[i]);
    *reinterpret_cast<Pack<T, width>*>(to) = pack;
}

// target = sum over the window of weight * source.
template <int width, class Axis, class T>
__global__ void window_sum_kernel(Windows<Axis> windows, std::int64_t packs, const T* source,
                                  T* target) {
    for_window_packs<width>(windows, packs, [&](const WindowPlace& place, std::int64_t at) {
        float total[width] = {};
        for_taps(windows, place, [&](std::int64_t offset, int, float weight) {
            const Pack<T, width> pixel = load_pack<width>(source + offset);
            VOXELGRAD_UNROLL
            for (int i = 0; i < width; ++i) total[i] += to_float(pixel.value[i]) * weight;
        });
        store_rounded(total, target + at);
    });
}

template <class Axis, class T>
void window_sum(const char* op, Stream stream, const Windows<Axis>& windows, const T* source,
                T* target) {
    const bool in_packs = packs_fit<T>(windows.channels, source, target);
    const std::int64_t packs = windows.pixels() * windows.channels / (in_packs ? full_width<T> : 1);
    launch(op, stream, threads_for(packs),
           in_packs ? window_sum_kernel<full_width<T>, Axis, T> : window_sum_kernel<1, Axis, T>,
           windows, packs, source, target);
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

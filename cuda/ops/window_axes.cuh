// Which source positions a target position gathers from along one axis, on the device: computed
// for pools, looked up in tables for everything else. Every kind has
//
//   range(target)   the numbers of its taps, ascending
//   tap(target, t)  one of them
//   usual_taps()    how many there are of an average target
#pragma once

#include <bit>

#include "cuda/core/upload.hpp"
#include "ops/pool_axes.hpp"

namespace voxelgrad::cuda {

struct AxisTaps {
    int begin, end;
};

struct AxisTap {
    int position;  // along the source's axis
    int place;     // in a pooling window
    float weight;
};

// The windows of a pool, as the kernels take them.
struct PoolWindow {
    int input, output, kernel, stride, padding, place_step;
    bool count_include_pad;

    PoolWindow() : PoolWindow({1, 1, 1, 1, 0, 1}, true) {}
    PoolWindow(const PoolAxis& axis, bool count_include_pad)
        : input(static_cast<int>(axis.input)),
          output(static_cast<int>(axis.output)),
          kernel(static_cast<int>(axis.kernel)),
          stride(static_cast<int>(axis.stride)),
          padding(static_cast<int>(axis.padding)),
          place_step(static_cast<int>(axis.place_step)),
          count_include_pad(count_include_pad) {}

    // Position `position` in window `window`.
    __device__ int place(int window, int position) const {
        return (position - (window * stride - padding)) * place_step;
    }
    __device__ float weight(int window) const {
        const int first = window * stride - padding;
        const int inside = std::min(first + kernel, input) - std::max(first, 0);
        return 1.0f / static_cast<float>(count_include_pad ? kernel : inside);
    }
};

// Forward: the positions in a window.
struct PoolForward : PoolWindow {
    using PoolWindow::PoolWindow;
    constexpr int source() const { return input; }
    constexpr int target() const { return output; }
    int usual_taps() const { return kernel; }

    __device__ AxisTaps range(int window) const {
        const int first = window * stride - padding;
        return {std::max(first, 0), std::min(first + kernel, input)};
    }
    __device__ AxisTap tap(int window, int t) const {
        return {t, place(window, t), weight(window)};
    }
};

// Backward: the windows that a position lies in.
struct PoolBackward : PoolWindow {
    using PoolWindow::PoolWindow;
    constexpr int source() const { return output; }
    constexpr int target() const { return input; }
    int usual_taps() const { return static_cast<int>(divide_up(kernel, stride)); }

    __device__ AxisTaps range(int position) const {
        const int from_start = position + padding, before = from_start - kernel;
        return {before < 0 ? 0 : before / stride + 1, std::min(from_start / stride + 1, output)};
    }
    __device__ AxisTap tap(int position, int t) const { return {t, place(t, position), weight(t)}; }
};

struct TableAxis {
    int source_length, target_length, taps;
    const std::int32_t* start;     // (targets + 1,)
    const std::int32_t* position;  // of every tap
    const float* weights;

    constexpr int source() const { return source_length; }
    constexpr int target() const { return target_length; }
    int usual_taps() const { return taps / std::max(target_length, 1); }

    __device__ AxisTaps range(int target) const { return {start[target], start[target + 1]}; }
    __device__ AxisTap tap(int, int t) const { return {position[t], 0, weights[t]}; }
};

// The tables of all axes, one after the other in device memory.
class DeviceTables {
 public:
    DeviceTables(const char* op, Stream stream, const std::vector<WindowAxis>& axes)
        : memory_(upload(op, stream, words_of(axes))) {
        const std::uint32_t* next = memory_.data();
        for (const WindowAxis& axis : axes) {
            const auto* const start = reinterpret_cast<const std::int32_t*>(next);
            const auto* const position = start + axis.start.size();
            const auto* const weights = reinterpret_cast<const float*>(position + axis.taps.size());
            next = reinterpret_cast<const std::uint32_t*>(weights + axis.taps.size());
            axes_.push_back({static_cast<int>(axis.source), static_cast<int>(axis.target()),
                             static_cast<int>(axis.taps.size()), start, position, weights});
        }
    }
    const std::vector<TableAxis>& axes() const { return axes_; }

 private:
    static std::vector<std::uint32_t> words_of(const std::vector<WindowAxis>& axes) {
        std::vector<std::uint32_t> words;
        for (const WindowAxis& axis : axes) {
            for (const std::int32_t start : axis.start)
                words.push_back(std::bit_cast<std::uint32_t>(start));
            for (const WindowTap& tap : axis.taps)
                words.push_back(static_cast<std::uint32_t>(tap.offset));
            for (const WindowTap& tap : axis.taps)
                words.push_back(std::bit_cast<std::uint32_t>(tap.weight));
        }
        return words;
    }

    Workspace<std::uint32_t> memory_;
    std::vector<TableAxis> axes_;
};

}  // namespace voxelgrad::cuda

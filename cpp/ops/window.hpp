// Which source pixels every target pixel of an image gathers from, one table per axis.
//
// Pooling, interpolation and their backward passes are all such a gather, each with its own tables;
// so no two threads ever write the same pixel.
#pragma once

#include <cstdint>
#include <vector>

#include "core/check.hpp"
#include "core/parallel_for.hpp"
#include "core/streaming.hpp"
#include "core/view.hpp"
#include "kernels/window.hpp"

namespace voxelgrad {

constexpr int window_axes = 3;  // shorter images have leading axes of length 1

// Until a plan is made of it, a tap's offset is a position along the source axis.
struct WindowAxis {
    std::int64_t source = 1;
    std::vector<std::int32_t> start = {0};
    std::vector<WindowTap> taps = {};

    std::int64_t target() const { return static_cast<std::int64_t>(start.size()) - 1; }
    void add(std::int64_t position, std::int64_t place, float weight);
    void finish_target();  // after its taps have been added
};

// Source and target change roles: every source position lists the targets that use it, in order.
WindowAxis transposed(const WindowAxis& axis);
std::vector<WindowAxis> transposed(std::vector<WindowAxis> axes);

template <class Small, class Large>
void check_window_images(const char* op, const View<Small>& small, const View<Large>& large) {
    check(small.rank >= 3 && small.rank <= window_axes + 2 && small.rank == large.rank &&
              small[0] == large[0] && small.last() == large.last(),
          op, ": the images ", small, " and ", large,
          " must both be (N, *spatial, C) with 1 to 3 spatial axes");
}

class WindowPlan {
 public:
    // One table for each of the image's spatial axes, 1 to 3; images are (samples, *spatial,
    // channels).
    WindowPlan(std::int64_t samples, std::vector<WindowAxis> axes, std::int64_t channels);

    // Runs body(row, first) on all rows of the target, in parallel pieces; `first` is the flat
    // position of the row's column 0 in `target`. Offsets in `row` count from the source's start.
    template <class Body>
    void for_rows(const float* target, Body&& body) const;

 private:
    std::int64_t rows() const { return samples_ * axes_[0].target() * axes_[1].target(); }
    void outer_taps(std::int64_t number, std::vector<WindowTap>& outer) const;

    std::int64_t samples_, channels_;
    std::vector<WindowAxis> axes_;
};

// target = sum over the window of weight * source.
void window_sum(const WindowPlan& plan, const float* source, float* target);

template <class Body>
void WindowPlan::for_rows(const float* target, Body&& body) const {
    constexpr std::int64_t grain = 1 << 14;  // elements a piece
    const std::int64_t columns = axes_[2].target();
    const std::int64_t size = rows() * columns * channels_;
    if (size == 0) return;
    const bool past_cache = worth_streaming(target, size, channels_);
    const std::int64_t pixels = std::max<std::int64_t>(1, grain / channels_);
    const std::int64_t width = std::min(columns, pixels), parts = (columns + width - 1) / width;
    const std::int64_t height = std::max<std::int64_t>(1, pixels / columns);
    const std::int64_t bands = (rows() + height - 1) / height;
    parallel_for(bands * parts, [&](std::int64_t piece) {
        const std::int64_t begin = piece % parts * width, end = std::min(begin + width, columns);
        const std::int64_t top = piece / parts * height, bottom = std::min(top + height, rows());
        std::vector<WindowTap> outer;
        for (std::int64_t number = top; number < bottom; ++number) {
            outer_taps(number, outer);
            const WindowRow row{outer.data(),
                                static_cast<int>(outer.size()),
                                axes_[2].start.data(),
                                axes_[2].taps.data(),
                                begin,
                                end,
                                channels_,
                                past_cache};
            body(row, number * columns * channels_);
        }
    });
}

}  // namespace voxelgrad

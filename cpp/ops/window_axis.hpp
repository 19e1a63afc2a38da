// The table of one spatial axis: which source positions every target position gathers from.
#pragma once

#include <cstdint>
#include <vector>

#include "core/check.hpp"
#include "core/window_tap.hpp"

namespace voxelgrad {

constexpr int window_axes = 3;  // shorter images have leading axes of length 1

// A tap's offset is a position along the source axis here.
struct WindowAxis {
    std::int64_t source = 1;
    std::vector<std::int32_t> start = {0};
    std::vector<WindowTap> taps = {};

    std::int64_t target() const { return static_cast<std::int64_t>(start.size()) - 1; }
    void add(std::int64_t position, std::int64_t place, float weight) {
        taps.push_back({position, static_cast<std::int32_t>(place), weight});
    }
    // After its taps have been added.
    void finish_target() { start.push_back(static_cast<std::int32_t>(taps.size())); }
};

// Source and target change roles: every source position lists the targets that use it, in order.
inline WindowAxis transposed(const WindowAxis& axis) {
    std::vector<std::vector<WindowTap>> users(static_cast<std::size_t>(axis.source));
    for (std::int64_t target = 0; target < axis.target(); ++target)
        for (std::int32_t t = axis.start[target]; t < axis.start[target + 1]; ++t) {
            const WindowTap& tap = axis.taps[t];
            users[tap.offset].push_back({target, tap.place, tap.weight});
        }
    WindowAxis result{axis.target(), {0}, {}};
    for (const std::vector<WindowTap>& taps : users) {
        result.taps.insert(result.taps.end(), taps.begin(), taps.end());
        result.finish_target();
    }
    return result;
}

inline std::vector<WindowAxis> transposed(std::vector<WindowAxis> axes) {
    for (WindowAxis& axis : axes) axis = transposed(axis);
    return axes;
}

template <class Small, class Large>
void check_window_images(const char* op, const View<Small>& small, const View<Large>& large) {
    check(small.rank >= 3 && small.rank <= window_axes + 2 && small.rank == large.rank &&
              small[0] == large[0] && small.last() == large.last(),
          op, ": the images ", small, " and ", large,
          " must both be (N, *spatial, C) with 1 to 3 spatial axes");
}

}  // namespace voxelgrad

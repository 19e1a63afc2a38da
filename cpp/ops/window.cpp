#include "ops/window.hpp"

#include <utility>

namespace voxelgrad {

void WindowAxis::add(std::int64_t position, std::int64_t place, float weight) {
    taps.push_back({position, static_cast<std::int32_t>(place), weight});
}

void WindowAxis::finish_target() { start.push_back(static_cast<std::int32_t>(taps.size())); }

WindowAxis transposed(const WindowAxis& axis) {
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

std::vector<WindowAxis> transposed(std::vector<WindowAxis> axes) {
    for (WindowAxis& axis : axes) axis = transposed(axis);
    return axes;
}

WindowPlan::WindowPlan(std::int64_t samples, std::vector<WindowAxis> axes, std::int64_t channels)
    : samples_(samples), channels_(channels), axes_(std::move(axes)) {
    const WindowAxis unit{1, {0, 1}, {{0, 0, 1.0f}}};
    while (axes_.size() < window_axes) axes_.insert(axes_.begin(), unit);
    std::int64_t stride = channels_;
    for (int a = window_axes - 1; a >= 0; --a) {
        for (WindowTap& tap : axes_[a].taps) tap.offset *= stride;
        stride *= axes_[a].source;
    }
}

void WindowPlan::outer_taps(std::int64_t number, std::vector<WindowTap>& outer) const {
    const WindowAxis &depth = axes_[0], &height = axes_[1];
    const std::int64_t h = number % height.target(), d = number / height.target() % depth.target();
    const std::int64_t sample = number / height.target() / depth.target();
    const std::int64_t sample_size = depth.source * height.source * axes_[2].source * channels_;
    outer.clear();
    for (std::int32_t i = depth.start[d]; i < depth.start[d + 1]; ++i)
        for (std::int32_t j = height.start[h]; j < height.start[h + 1]; ++j) {
            const WindowTap &a = depth.taps[i], &b = height.taps[j];
            outer.push_back({sample * sample_size + a.offset + b.offset, a.place + b.place,
                             a.weight * b.weight});
        }
}

void window_sum(const WindowPlan& plan, const float* source, float* target) {
    const auto& kernels = window_kernels();
    plan.for_rows(target, [&](const WindowRow& row, std::int64_t first) {
        kernels.weighted_sum(row, source, target + first);
    });
}

}  // namespace voxelgrad

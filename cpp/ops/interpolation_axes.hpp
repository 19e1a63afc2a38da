// What interpolated positions are made of, one table for each spatial axis.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "ops/window_axis.hpp"

namespace voxelgrad {

// Where output position i lies along an input axis, in input positions.
inline double source_position(std::int64_t i, std::int64_t in, std::int64_t out,
                              bool align_corners) {
    const double last = static_cast<double>(in - 1);
    if (align_corners)
        return out > 1 ? static_cast<double>(i) * last / static_cast<double>(out - 1) : 0.0;
    const double position =
        (static_cast<double>(i) + 0.5) * static_cast<double>(in) / static_cast<double>(out) - 0.5;
    return std::clamp(position, 0.0, last);
}

inline WindowAxis nearest_axis(std::int64_t in, std::int64_t out) {
    WindowAxis axis{in, {0}, {}};
    for (std::int64_t i = 0; i < out; ++i) {
        axis.add(i * in / out, 0, 1.0f);
        axis.finish_target();
    }
    return axis;
}

inline WindowAxis linear_axis(std::int64_t in, std::int64_t out, bool align_corners) {
    WindowAxis axis{in, {0}, {}};
    for (std::int64_t i = 0; i < out; ++i) {
        const double position = source_position(i, in, out, align_corners);
        const std::int64_t low = static_cast<std::int64_t>(position);
        const double upper_weight = position - static_cast<double>(low);
        axis.add(low, 0, static_cast<float>(1.0 - upper_weight));
        if (upper_weight > 0.0) axis.add(low + 1, 0, static_cast<float>(upper_weight));
        axis.finish_target();
    }
    return axis;
}

template <class Input, class Output>
std::vector<WindowAxis> interpolation_axes(const char* op, const View<Input>& input,
                                           const View<Output>& output, const std::string& mode,
                                           bool align_corners) {
    check(mode == "nearest" || mode == "linear", op, ": mode '", mode,
          "' is unknown; choose 'nearest' or 'linear'");
    check_window_images(op, input, output);
    std::vector<WindowAxis> axes;
    for (int a = 1; a < input.rank - 1; ++a) {
        check(input[a] > 0, op, ": spatial axis ", a - 1, " of the input is empty");
        axes.push_back(mode == "nearest" ? nearest_axis(input[a], output[a])
                                         : linear_axis(input[a], output[a], align_corners));
    }
    return axes;
}

}  // namespace voxelgrad

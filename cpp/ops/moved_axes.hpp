// The axes of a transposition.
#pragma once

#include <vector>

#include "core/check.hpp"

namespace voxelgrad {

template <class T>
void check_transpose(const View<const T>& input, const View<T>& output, const Dims& axes) {
    check(axes.rank == input.rank && output.rank == input.rank, "transpose: input ", input,
          ", output ", output, " and axes must have the same number of axes");
    bool seen[max_rank] = {};
    for (int i = 0; i < axes.rank; ++i) {
        check(axes[i] >= 0 && axes[i] < input.rank && !seen[axes[i]], "transpose: axes must name ",
              "every axis of input ", input, " once");
        seen[axes[i]] = true;
        check(output[i] == input[static_cast<int>(axes[i])], "transpose: axis ", i, " of output ",
              output, " must have the length of axis ", axes[i], " of input ", input);
    }
}

// An axis of the output in its order: its length, and the steps between its elements.
struct MovedAxis {
    std::int64_t length, input_step, output_step;
};

// Axes of the output without those of length 1; neighbours in both arrays become one.
template <class T>
std::vector<MovedAxis> merged_axes(const View<const T>& input, const Dims& order) {
    std::vector<MovedAxis> axes;
    for (int i = 0; i < order.rank; ++i) {
        const int source = static_cast<int>(order[i]);
        const std::int64_t length = input[source];
        const std::int64_t step = input.count(source + 1, input.rank);
        if (length == 1) continue;
        if (!axes.empty() && axes.back().input_step == length * step)
            axes.back() = {axes.back().length * length, step, 0};
        else
            axes.push_back({length, step, 0});
    }
    if (axes.empty()) axes.push_back({1, 1, 1});
    std::int64_t step = 1;
    for (std::size_t a = axes.size(); a-- > 0; step *= axes[a].length) axes[a].output_step = step;
    return axes;
}

}  // namespace voxelgrad

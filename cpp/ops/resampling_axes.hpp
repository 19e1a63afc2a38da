// The tables that a caller gives for resampling, checked.
#pragma once

#include <cstdint>
#include <vector>

#include "ops/window_axis.hpp"

namespace voxelgrad {

inline WindowAxis resampling_axis(std::int64_t source, std::int64_t target,
                                  const View<const std::int32_t>& starts,
                                  const View<const std::int32_t>& positions,
                                  const View<const float>& weights) {
    constexpr const char* op = "resample";
    check(starts.rank == 1 && positions.rank == 1 && same_shape(positions, weights), op,
          ": starts, positions and weights must be lists, the last two of one length");
    check(starts.size() == target + 1 && starts.data[0] == 0 &&
              starts.data[target] == positions.size(),
          op, ": starts must rise from 0 to ", positions.size(), " in ", target + 1, " entries");
    WindowAxis axis{source, {0}, {}};
    for (std::int64_t i = 0; i < target; ++i) {
        check(starts.data[i] <= starts.data[i + 1], op, ": starts fall at ", i);
        for (std::int64_t t = starts.data[i]; t < starts.data[i + 1]; ++t) {
            const std::int64_t position = positions.data[t];
            check(position >= 0 && position < source, op, ": position ", position,
                  " lies outside an axis of length ", source);
            axis.add(position, 0, weights.data[t]);
        }
        axis.finish_target();
    }
    return axis;
}

template <class T>
std::vector<WindowAxis> resampling_axes(const View<const T>& input, const View<T>& output,
                                        const std::vector<View<const std::int32_t>>& starts,
                                        const std::vector<View<const std::int32_t>>& positions,
                                        const std::vector<View<const float>>& weights) {
    check_window_images("resample", input, output);
    const std::size_t rank = static_cast<std::size_t>(input.rank) - 2;
    check(starts.size() == rank && positions.size() == rank && weights.size() == rank,
          "resample: starts, positions and weights must have ", rank, " lists each");
    std::vector<WindowAxis> axes;
    for (std::size_t a = 0; a < rank; ++a) {
        const int axis = static_cast<int>(a) + 1;
        axes.push_back(
            resampling_axis(input[axis], output[axis], starts[a], positions[a], weights[a]));
    }
    return axes;
}

}  // namespace voxelgrad

// The axes of a sum over some of them.
#pragma once

#include "core/check.hpp"

namespace voxelgrad {

template <class In, class Out>
void check_reduction(const View<const In>& input, const View<Out>& output) {
    bool fits = input.rank == output.rank;
    for (int axis = 0; fits && axis < output.rank; ++axis)
        fits = output[axis] == input[axis] || output[axis] == 1;
    check(fits, "reduce_sum: output ", output, " must be input ", input,
          " with 1 in place of the summed extents");
}

// Neighbouring axes that are all kept or all summed are one axis.
struct Groups {
    int count = 0;
    std::int64_t extent[max_rank];
    bool reduced[max_rank];
};

template <class In, class Out>
Groups group_axes(const View<const In>& input, const View<Out>& output) {
    Groups groups;
    for (int axis = 0; axis < input.rank; ++axis) {
        if (input[axis] == 1) continue;
        const bool reduced = output[axis] == 1;
        if (groups.count > 0 && groups.reduced[groups.count - 1] == reduced) {
            groups.extent[groups.count - 1] *= input[axis];
            continue;
        }
        groups.extent[groups.count] = input[axis];
        groups.reduced[groups.count++] = reduced;
    }
    return groups;
}

}  // namespace voxelgrad

// Where the elements of a padded or cut axis come from.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "core/check.hpp"

namespace voxelgrad {

enum class PadMode { constant, reflect, edge };

inline PadMode pad_mode(const char* op, const std::string& name) {
    if (name == "constant") return PadMode::constant;
    if (name == "reflect") return PadMode::reflect;
    if (name == "edge") return PadMode::edge;
    fail(op, ": mode '", name, "' is unknown; choose 'constant', 'reflect' or 'edge'");
}

// `before` is negative where the axis is cut.
struct PadAxis {
    std::int64_t inner, outer, before;

    constexpr bool is_whole() const { return inner == outer && before == 0; }

    // The inner position that outer position i shows; -1: the constant.
    constexpr std::int64_t source(std::int64_t i, PadMode mode) const {
        const std::int64_t position = i - before;
        if (position >= 0 && position < inner) return position;
        if (mode == PadMode::constant) return -1;
        if (mode == PadMode::edge || inner == 1)
            return std::clamp<std::int64_t>(position, 0, inner - 1);
        const std::int64_t period = 2 * (inner - 1);
        const std::int64_t folded = ((position % period) + period) % period;
        return std::min(folded, period - folded);
    }
};

// Neighbouring axes that are neither padded nor cut count as one.
inline std::vector<PadAxis> merge_whole_axes(const std::vector<PadAxis>& axes) {
    std::vector<PadAxis> merged;
    for (const PadAxis& axis : axes) {
        if (!merged.empty() && merged.back().is_whole() && axis.is_whole()) {
            merged.back().inner *= axis.inner;
            merged.back().outer *= axis.outer;
        } else {
            merged.push_back(axis);
        }
    }
    return merged;
}

// The axes of a slice that begins at `start` and has output's extents.
template <class T>
std::vector<PadAxis> slice_axes(const View<const T>& input, const View<T>& output,
                                const Dims& start) {
    check(input.rank == output.rank && start.rank == input.rank, "slice_forward: input ", input,
          ", output ", output, " and start must have as many axes");
    std::vector<PadAxis> axes;
    for (int a = 0; a < input.rank; ++a) {
        check(start[a] >= 0 && start[a] + output[a] <= input[a], "slice_forward: axis ", a,
              " of input ", input, " has no ", output[a], " elements from ", start[a]);
        axes.push_back({input[a], output[a], -start[a]});
    }
    return axes;
}

// The axes of an output that holds input at offset `before`.
template <class T>
std::vector<PadAxis> pad_axes(const View<const T>& input, const View<T>& output, const Dims& before,
                              PadMode mode) {
    check(input.rank == output.rank && before.rank == input.rank, "pad_forward: input ", input,
          ", output ", output, " and before must have as many axes");
    std::vector<PadAxis> axes;
    for (int a = 0; a < input.rank; ++a) {
        check(before[a] >= 0 && before[a] + input[a] <= output[a], "pad_forward: axis ", a,
              " of input ", input, " after ", before[a], " elements does not fit in output ",
              output);
        check(input[a] > 0 || mode == PadMode::constant || output[a] == 0, "pad_forward: input ",
              input, " has an empty axis; only a constant can pad it");
        axes.push_back({input[a], output[a], before[a]});
    }
    return axes;
}

// The last axis along which grad_output is longer; -1 if there is none.
template <class T>
int last_padded_axis(const View<const T>& grad_output, const View<T>& grad_input,
                     const Dims& before) {
    const int rank = grad_input.rank;
    check(grad_output.rank == rank && before.rank == rank, "pad_backward: grad_output ",
          grad_output, ", grad_input ", grad_input, " and before must have as many axes");
    int last_padded = -1;
    for (int a = 0; a < rank; ++a) {
        check(before[a] >= 0 && before[a] + grad_input[a] <= grad_output[a], "pad_backward: axis ",
              a, " of grad_input ", grad_input, " after ", before[a],
              " elements does not fit in grad_output ", grad_output);
        check(grad_input[a] > 0 || grad_output[a] == 0, "pad_backward: grad_input ", grad_input,
              " has an empty axis; only a constant can have padded it");
        if (grad_output[a] > grad_input[a]) last_padded = a;
    }
    return last_padded;
}

}  // namespace voxelgrad

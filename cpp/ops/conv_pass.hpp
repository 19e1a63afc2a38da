// One pass of a convolution, seen as source -> target: which grid is read, which is written, and
// where the weight between two channels lies. A weight gradient has the same two sides; it reads
// both.
#pragma once

#include <algorithm>

#include "core/split.hpp"
#include "ops/conv_epilogue.hpp"
#include "ops/conv_geometry.hpp"

namespace voxelgrad {

// One side of a pass: the grid that is read or written.
struct Side {
    const std::int64_t* extent;
    std::int64_t channels;  // of a group

    std::int64_t pixels() const { return extent[0] * extent[1] * extent[2]; }
};

struct Sides {
    const ConvGeometry& geometry;
    Side source, target;
    bool target_is_coarse;

    std::int64_t weight_index(std::int64_t group, std::int64_t target_channel,
                              std::int64_t source_channel, std::int64_t tap) const {
        return target_is_coarse ? geometry.weight_index(group, target_channel, source_channel, tap)
                                : geometry.weight_index(group, source_channel, target_channel, tap);
    }
    // Floats from the weight of one channel to that of the next; one of the two is 1.
    std::int64_t target_step() const { return weight_index(0, 1, 0, 0); }
    std::int64_t source_step() const { return weight_index(0, 0, 1, 0); }
};

// T: the type of the images.
template <class T>
struct PassOf : Sides {
    const T* source_data;
    const float* weight;
    ConvEpilogue epilogue;
    T* target_data;
};

using Pass = PassOf<float>;

// Coarse from fine.
inline Sides forward_sides(const ConvGeometry& g) {
    return {g, {g.fine, g.fine_channels}, {g.coarse, g.coarse_channels}, true};
}
template <class T>
PassOf<T> forward_pass(const ConvGeometry& g, const T* fine, const float* weight,
                       const ConvEpilogue& epilogue, T* coarse) {
    return {forward_sides(g), fine, weight, epilogue, coarse};
}

// Fine from coarse.
inline Sides backward_sides(const ConvGeometry& g) {
    return {g, {g.coarse, g.coarse_channels}, {g.fine, g.fine_channels}, false};
}
template <class T>
PassOf<T> backward_pass(const ConvGeometry& g, const T* coarse, const float* weight,
                        const ConvEpilogue& epilogue, T* fine) {
    return {backward_sides(g), coarse, weight, epilogue, fine};
}

// As many tasks as can be shared evenly; fewer are cut further, unless there is so little to do
// that a task would not be worth another thread, or another copy of what the tasks share. Above two
// they are fours, so that a few threads end together.
inline std::int64_t enough_tasks(const ConvGeometry& g) {
    constexpr std::int64_t most = 32, work_of_a_task = std::int64_t{1} << 20;  // multiply-adds
    const std::int64_t tasks =
        std::clamp<std::int64_t>(g.multiply_adds() / work_of_a_task, 1, most);
    return tasks > 2 ? divide_up(tasks, 4) * 4 : tasks;
}

}  // namespace voxelgrad

// The windows of pooling along each spatial axis, from the shapes and the settings.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "ops/window_axis.hpp"

namespace voxelgrad {

struct PoolSettings {
    const char* op;
    const Dims &kernel_size, &stride, &padding;
};

// The windows of a pool along one axis. place_step: of neighbours in the window, row-major.
struct PoolAxis {
    std::int64_t input, output, kernel, stride, padding, place_step;

    std::int64_t first(std::int64_t window) const { return window * stride - padding; }
};

inline PoolAxis pool_axis(const PoolSettings& pool, int axis, std::int64_t input,
                          std::int64_t output, std::int64_t place_step) {
    const PoolAxis windows{
        input, output, pool.kernel_size[axis], pool.stride[axis], pool.padding[axis], place_step};
    const auto [m, n, kernel, stride, padding, step] = windows;
    check(kernel > 0 && stride > 0 && padding >= 0 && padding < kernel, pool.op,
          ": kernel_size, stride and padding are ", kernel, ", ", stride, " and ", padding,
          " along spatial axis ", axis, "; padding must be less than kernel_size");
    check(output == 0 || windows.first(output - 1) < input, pool.op, ": window ", output - 1,
          " along spatial axis ", axis, " begins outside an input of length ", input);
    return windows;
}

inline std::int64_t window_places(const Dims& kernel_size) {
    std::int64_t places = 1;
    for (int a = 0; a < kernel_size.rank; ++a) places *= kernel_size[a];
    return places;
}

// All spatial axes from the input's and the output's shape.
template <class Input, class Output>
std::vector<PoolAxis> pool_axes(const PoolSettings& pool, const View<Input>& input,
                                const View<Output>& output) {
    check_window_images(pool.op, input, output);
    const int rank = input.rank - 2;
    check(pool.kernel_size.rank == rank && pool.stride.rank == rank && pool.padding.rank == rank,
          pool.op, ": kernel_size, stride and padding must have ", rank, " entries each");
    std::vector<PoolAxis> axes;
    std::int64_t place_step = window_places(pool.kernel_size);
    for (int a = 0; a < rank; ++a) {
        place_step /= std::max<std::int64_t>(1, pool.kernel_size[a]);
        axes.push_back(pool_axis(pool, a, input[a + 1], output[a + 1], place_step));
    }
    return axes;
}

// Window i of n along an axis of length m: positions floor(i * m / n) to ceil((i + 1) * m / n).
template <class Input, class Output>
std::vector<WindowAxis> adaptive_axes(const char* op, const View<Input>& input,
                                      const View<Output>& output) {
    check_window_images(op, input, output);
    std::vector<WindowAxis> axes;
    for (int a = 1; a < input.rank - 1; ++a) {
        const std::int64_t m = input[a], n = output[a];
        check(m > 0, op, ": spatial axis ", a - 1, " of the input is empty");
        WindowAxis table{m, {0}, {}};
        for (std::int64_t i = 0; i < n; ++i) {
            const std::int64_t begin = i * m / n, end = ((i + 1) * m + n - 1) / n;
            const float weight = 1.0f / static_cast<float>(end - begin);
            for (std::int64_t s = begin; s < end; ++s) table.add(s, 0, weight);
            table.finish_target();
        }
        axes.push_back(std::move(table));
    }
    return axes;
}

template <class Index>
void check_indices(const char* op, const Dims& kernel_size) {
    const std::int64_t most = static_cast<std::int64_t>(std::numeric_limits<Index>::max()) + 1;
    check(window_places(kernel_size) <= most, op, ": windows of ", window_places(kernel_size),
          " places need int32 indices");
}

}  // namespace voxelgrad

// Resizing and resampling; semantics as in cpp/ops/interpolate.hpp and resample.hpp. The tables are
// made on the host, the kernels are those of window.cuh.
#pragma once

#include "cuda/ops/window.cuh"
#include "ops/interpolation_axes.hpp"
#include "ops/resampling_axes.hpp"

namespace voxelgrad::cuda {

template <class T>
void interpolate_forward(Stream stream, View<const T> input, View<T> output,
                         const std::string& mode, bool align_corners) {
    constexpr const char* op = "interpolate_forward";
    table_sum(op, stream, input[0], interpolation_axes(op, input, output, mode, align_corners),
              input.last(), input.data, output.data);
}

template <class T>
void interpolate_backward(Stream stream, View<const T> grad_output, View<T> grad_input,
                          const std::string& mode, bool align_corners) {
    constexpr const char* op = "interpolate_backward";
    table_sum(op, stream, grad_input[0],
              transposed(interpolation_axes(op, grad_input, grad_output, mode, align_corners)),
              grad_input.last(), grad_output.data, grad_input.data);
}

// The tables lie in the host's memory.
template <class T>
void resample(Stream stream, View<const T> input, View<T> output,
              const std::vector<View<const std::int32_t>>& starts,
              const std::vector<View<const std::int32_t>>& positions,
              const std::vector<View<const float>>& weights) {
    table_sum("resample", stream, input[0],
              resampling_axes(input, output, starts, positions, weights), input.last(), input.data,
              output.data);
}

}  // namespace voxelgrad::cuda

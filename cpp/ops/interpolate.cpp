#include "ops/interpolate.hpp"

#include <utility>

#include "ops/interpolation_axes.hpp"
#include "ops/window.hpp"

namespace voxelgrad {

template <class T>
void interpolate_forward(View<const T> input, View<T> output, const std::string& mode,
                         bool align_corners) {
    auto axes = interpolation_axes("interpolate_forward", input, output, mode, align_corners);
    window_sum({input[0], std::move(axes), input.last()}, input.data, output.data);
}

template <class T>
void interpolate_backward(View<const T> grad_output, View<T> grad_input, const std::string& mode,
                          bool align_corners) {
    auto axes =
        interpolation_axes("interpolate_backward", grad_input, grad_output, mode, align_corners);
    window_sum({grad_input[0], transposed(std::move(axes)), grad_input.last()}, grad_output.data,
               grad_input.data);
}

template void interpolate_forward(View<const float>, View<float>, const std::string&, bool);
template void interpolate_forward(View<const bf16>, View<bf16>, const std::string&, bool);
template void interpolate_backward(View<const float>, View<float>, const std::string&, bool);
template void interpolate_backward(View<const bf16>, View<bf16>, const std::string&, bool);

}  // namespace voxelgrad

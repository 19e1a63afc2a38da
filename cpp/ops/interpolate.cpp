#include "ops/interpolate.hpp"

#include <algorithm>
#include <utility>

#include "core/check.hpp"
#include "ops/window.hpp"

namespace voxelgrad {
namespace {

using std::int64_t;

// Where output position i lies along an input axis, in input positions.
double source_position(int64_t i, int64_t in, int64_t out, bool align_corners) {
    const double last = static_cast<double>(in - 1);
    if (align_corners)
        return out > 1 ? static_cast<double>(i) * last / static_cast<double>(out - 1) : 0.0;
    const double position =
        (static_cast<double>(i) + 0.5) * static_cast<double>(in) / static_cast<double>(out) - 0.5;
    return std::clamp(position, 0.0, last);
}

WindowAxis nearest_axis(int64_t in, int64_t out) {
    WindowAxis axis{in, {0}, {}};
    for (int64_t i = 0; i < out; ++i) {
        axis.add(i * in / out, 0, 1.0f);
        axis.finish_target();
    }
    return axis;
}

WindowAxis linear_axis(int64_t in, int64_t out, bool align_corners) {
    WindowAxis axis{in, {0}, {}};
    for (int64_t i = 0; i < out; ++i) {
        const double position = source_position(i, in, out, align_corners);
        const int64_t low = static_cast<int64_t>(position);
        const double upper_weight = position - static_cast<double>(low);
        axis.add(low, 0, static_cast<float>(1.0 - upper_weight));
        if (upper_weight > 0.0) axis.add(low + 1, 0, static_cast<float>(upper_weight));
        axis.finish_target();
    }
    return axis;
}

template <class Input, class Output>
std::vector<WindowAxis> axes_of(const char* op, const View<Input>& input,
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

}  // namespace

template <class T>
void interpolate_forward(View<const T> input, View<T> output, const std::string& mode,
                         bool align_corners) {
    auto axes = axes_of("interpolate_forward", input, output, mode, align_corners);
    window_sum({input[0], std::move(axes), input.last()}, input.data, output.data);
}

template <class T>
void interpolate_backward(View<const T> grad_output, View<T> grad_input, const std::string& mode,
                          bool align_corners) {
    auto axes = axes_of("interpolate_backward", grad_input, grad_output, mode, align_corners);
    window_sum({grad_input[0], transposed(std::move(axes)), grad_input.last()}, grad_output.data,
               grad_input.data);
}

template void interpolate_forward(View<const float>, View<float>, const std::string&, bool);
template void interpolate_forward(View<const bf16>, View<bf16>, const std::string&, bool);
template void interpolate_backward(View<const float>, View<float>, const std::string&, bool);
template void interpolate_backward(View<const bf16>, View<bf16>, const std::string&, bool);

}  // namespace voxelgrad

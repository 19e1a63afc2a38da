#include "ops/conv.hpp"

#include "ops/conv_algorithms.hpp"
#include "ops/conv_bias.hpp"
#include "ops/conv_sparse.hpp"
#include "ops/linear_row.hpp"

namespace voxelgrad {
namespace {

// Whether linear layers have functions of their own for one row: products of a matrix and a row.
template <class T>
constexpr bool reads_single_rows = std::is_same_v<T, float>;

// The weight gradient of a single row, an outer product: N pixels of one channel, grad_output, seen
// through the input as the weight.
ConvGeometry outer_product(const ConvGeometry& g) {
    ConvGeometry outer = g;
    outer.fine[2] = outer.coarse[2] = g.coarse_channels;
    outer.coarse_channels = 1;
    return outer;
}

}  // namespace

template <class T>
void conv_forward(View<const T> input, View<const float> weight, OptionalView<const float> bias,
                  View<T> output, Dims stride, Dims padding, Dims dilation, std::int64_t groups,
                  float slope) {
    const auto g = conv_geometry("conv_forward", false, shape_of(input), shape_of(output), weight,
                                 stride, padding, dilation, groups);
    choose_conv_algorithm<T>(g).coarse_from_fine(
        g, input.data, weight.data, {bias_data("conv_forward", bias, output), slope}, output.data);
}

template <class T>
void conv_backward_data(View<const T> grad_output, View<const float> weight, View<T> grad_input,
                        Dims stride, Dims padding, Dims dilation, std::int64_t groups) {
    const auto g = conv_geometry("conv_backward_data", false, shape_of(grad_input),
                                 shape_of(grad_output), weight, stride, padding, dilation, groups);
    choose_conv_algorithm<T>(g).fine_from_coarse(g, grad_output.data, weight.data, {},
                                                 grad_input.data);
}

template <class T>
void conv_backward_weight(View<const T> grad_output, View<const T> input, View<float> grad_weight,
                          OptionalView<float> grad_bias, Dims stride, Dims padding, Dims dilation,
                          std::int64_t groups) {
    const auto g =
        conv_geometry("conv_backward_weight", false, shape_of(input), shape_of(grad_output),
                      shape_of(grad_weight), stride, padding, dilation, groups);
    const auto& algorithm = choose_conv_algorithm<T>(g);
    if constexpr (std::is_same_v<T, float>)
        if (&algorithm == &conv_direct && conv_sparse_serves(g, grad_output.data)) {
            if (grad_bias) bias_sums("conv_backward_weight", grad_output, grad_bias);
            return conv_sparse_weight_gradient(g, input.data, {grad_output.data}, grad_weight.data,
                                               grad_bias.data);
        }
    algorithm.weight_gradient(g, input.data, grad_output.data, grad_weight.data);
    bias_gradient("conv_backward_weight", grad_output, grad_bias);
}

template <class T>
void conv_transpose_forward(View<const T> input, View<const float> weight,
                            OptionalView<const float> bias, View<T> output, Dims stride,
                            Dims padding, Dims dilation, std::int64_t groups, float slope) {
    const auto g = conv_geometry("conv_transpose_forward", true, shape_of(output), shape_of(input),
                                 weight, stride, padding, dilation, groups);
    choose_conv_algorithm<T>(g).fine_from_coarse(
        g, input.data, weight.data, {bias_data("conv_transpose_forward", bias, output), slope},
        output.data);
}

template <class T>
void conv_transpose_backward_data(View<const T> grad_output, View<const float> weight,
                                  View<T> grad_input, Dims stride, Dims padding, Dims dilation,
                                  std::int64_t groups) {
    const auto g = conv_geometry("conv_transpose_backward_data", true, shape_of(grad_output),
                                 shape_of(grad_input), weight, stride, padding, dilation, groups);
    choose_conv_algorithm<T>(g).coarse_from_fine(g, grad_output.data, weight.data, {},
                                                 grad_input.data);
}

template <class T>
void conv_transpose_backward_weight(View<const T> grad_output, View<const T> input,
                                    View<float> grad_weight, OptionalView<float> grad_bias,
                                    Dims stride, Dims padding, Dims dilation, std::int64_t groups) {
    const auto g =
        conv_geometry("conv_transpose_backward_weight", true, shape_of(grad_output),
                      shape_of(input), shape_of(grad_weight), stride, padding, dilation, groups);
    choose_conv_algorithm<T>(g).weight_gradient(g, grad_output.data, input.data, grad_weight.data);
    bias_gradient("conv_transpose_backward_weight", grad_output, grad_bias);
}

template <class T>
void linear_forward(View<const T> input, View<const float> weight, OptionalView<const float> bias,
                    View<T> output, float slope) {
    const auto g = linear_geometry("linear_forward", shape_of(input), weight, shape_of(output));
    const ConvEpilogue epilogue{bias_data("linear_forward", bias, output), slope};
    if constexpr (reads_single_rows<T>)
        if (input[0] == 1)
            return linear_row_forward(weight.data, weight[0], weight[1], input.data, epilogue,
                                      output.data);
    choose_conv_algorithm<T>(g).coarse_from_fine(g, input.data, weight.data, epilogue, output.data);
}

template <class T>
void linear_backward_data(View<const T> grad_output, View<const float> weight, View<T> grad_input) {
    const auto g = linear_geometry("linear_backward_data", shape_of(grad_input), weight,
                                   shape_of(grad_output));
    if constexpr (reads_single_rows<T>)
        if (grad_output[0] == 1)
            return linear_row_backward_data(weight.data, weight[0], weight[1], grad_output.data,
                                            grad_input.data);
    choose_conv_algorithm<T>(g).fine_from_coarse(g, grad_output.data, weight.data, {},
                                                 grad_input.data);
}

template <class T>
void linear_backward_weight(View<const T> grad_output, View<const T> input, View<float> grad_weight,
                            OptionalView<float> grad_bias) {
    const auto g = linear_geometry("linear_backward_weight", shape_of(input), shape_of(grad_weight),
                                   shape_of(grad_output));
    bias_gradient("linear_backward_weight", grad_output, grad_bias);
    if constexpr (reads_single_rows<T>)
        if (input[0] == 1) {
            const ConvGeometry outer = outer_product(g);
            return choose_conv_algorithm<T>(outer).fine_from_coarse(
                outer, grad_output.data, input.data, {}, grad_weight.data);
        }
    choose_conv_algorithm<T>(g).weight_gradient(g, input.data, grad_output.data, grad_weight.data);
}

#define VOXELGRAD_INSTANTIATE(T)                                                                  \
    template void conv_forward(View<const T>, View<const float>, OptionalView<const float>,       \
                               View<T>, Dims, Dims, Dims, std::int64_t, float);                   \
    template void conv_backward_data(View<const T>, View<const float>, View<T>, Dims, Dims, Dims, \
                                     std::int64_t);                                               \
    template void conv_backward_weight(View<const T>, View<const T>, View<float>,                 \
                                       OptionalView<float>, Dims, Dims, Dims, std::int64_t);      \
    template void conv_transpose_forward(View<const T>, View<const float>,                        \
                                         OptionalView<const float>, View<T>, Dims, Dims, Dims,    \
                                         std::int64_t, float);                                    \
    template void conv_transpose_backward_data(View<const T>, View<const float>, View<T>, Dims,   \
                                               Dims, Dims, std::int64_t);                         \
    template void conv_transpose_backward_weight(View<const T>, View<const T>, View<float>,       \
                                                 OptionalView<float>, Dims, Dims, Dims,           \
                                                 std::int64_t);                                   \
    template void linear_forward(View<const T>, View<const float>, OptionalView<const float>,     \
                                 View<T>, float);                                                 \
    template void linear_backward_data(View<const T>, View<const float>, View<T>);                \
    template void linear_backward_weight(View<const T>, View<const T>, View<float>,               \
                                         OptionalView<float>);

VOXELGRAD_INSTANTIATE(float)
VOXELGRAD_INSTANTIATE(bf16)

void set_conv_algorithm(const std::string& name) { force_conv_algorithm(name.c_str()); }

}  // namespace voxelgrad

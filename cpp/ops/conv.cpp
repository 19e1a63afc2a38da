#include "ops/conv.hpp"

#include "core/check.hpp"
#include "core/parallel_for.hpp"
#include "core/pool.hpp"
#include "ops/conv_algorithms.hpp"

namespace voxelgrad {
namespace {

// A view of the same shape for conv_geometry, which looks at nothing else.
template <class T>
View<const float> shape_of(const View<T>& view) {
    View<const float> result;
    result.rank = view.rank;
    for (int axis = 0; axis < view.rank; ++axis) result.shape[axis] = view.shape[axis];
    return result;
}

template <class T>
const float* bias_data(const char* op, const OptionalView<const float>& bias,
                       const View<T>& output) {
    if (!bias) return nullptr;
    check(bias.rank == 1 && bias[0] == output.last(), op, ": bias ", bias, " must be (",
          output.last(), ",)");
    return bias.data;
}

// Sums over all pixels, channel by channel: one partial sum a chunk, chunks added in order.
template <class T>
void channel_sums(const View<const T>& array, float* sums) {
    const std::int64_t channels = array.last(), pixels = array.count(0, array.rank - 1);
    const std::int64_t grain = std::max<std::int64_t>(1, (1 << 16) / channels);
    const std::int64_t chunks = (pixels + grain - 1) / grain;
    Workspace<double> partial(chunks * channels);
    parallel_for_ranges(pixels, grain, [&](std::int64_t begin, std::int64_t end) {
        double* mine = partial.data() + begin / grain * channels;
        std::fill(mine, mine + channels, 0.0);
        for (std::int64_t pixel = begin; pixel < end; ++pixel)
            for (std::int64_t c = 0; c < channels; ++c)
                mine[c] += to_float(array.data[pixel * channels + c]);
    });
    for (std::int64_t c = 0; c < channels; ++c) {
        double total = 0.0;
        for (std::int64_t chunk = 0; chunk < chunks; ++chunk)
            total += partial[chunk * channels + c];
        sums[c] = static_cast<float>(total);
    }
}

template <class T>
void bias_gradient(const char* op, const View<const T>& grad_output,
                   const OptionalView<float>& grad_bias) {
    if (!grad_bias) return;
    check(grad_bias.rank == 1 && grad_bias[0] == grad_output.last(), op, ": grad_bias ", grad_bias,
          " must be (", grad_output.last(), ",)");
    channel_sums(grad_output, grad_bias.data);
}

// A matrix product is a convolution of a row of M pixels with a kernel of one tap.
View<const float> as_row(const View<const float>& matrix, bool weight = false) {
    View<const float> row = matrix;
    row.rank = 3;
    row.shape[0] = weight ? matrix[0] : 1;
    row.shape[1] = weight ? 1 : matrix[0];
    row.shape[2] = matrix[1];
    return row;
}

ConvGeometry linear_geometry(const char* op, const View<const float>& input,
                             const View<const float>& weight, const View<const float>& output) {
    check(input.rank == 2 && weight.rank == 2 && output.rank == 2 && input[1] == weight[1] &&
              output[0] == input[0] && output[1] == weight[0],
          op, ": input ", input, ", weight ", weight, " and output ", output,
          " must be (M, K), (N, K) and (M, N)");
    const Dims one{1, {1}}, zero{1, {0}};
    return conv_geometry(op, false, as_row(input), as_row(output), as_row(weight, true), one, zero,
                         one, 1);
}

}  // namespace

template <class T>
void conv_forward(View<const T> input, View<const float> weight, OptionalView<const float> bias,
                  View<T> output, Dims stride, Dims padding, Dims dilation, std::int64_t groups) {
    const auto g = conv_geometry("conv_forward", false, shape_of(input), shape_of(output), weight,
                                 stride, padding, dilation, groups);
    choose_conv_algorithm<T>(g).coarse_from_fine(
        g, input.data, weight.data, bias_data("conv_forward", bias, output), output.data);
}

template <class T>
void conv_backward_data(View<const T> grad_output, View<const float> weight, View<T> grad_input,
                        Dims stride, Dims padding, Dims dilation, std::int64_t groups) {
    const auto g = conv_geometry("conv_backward_data", false, shape_of(grad_input),
                                 shape_of(grad_output), weight, stride, padding, dilation, groups);
    choose_conv_algorithm<T>(g).fine_from_coarse(g, grad_output.data, weight.data, nullptr,
                                                 grad_input.data);
}

template <class T>
void conv_backward_weight(View<const T> grad_output, View<const T> input, View<float> grad_weight,
                          OptionalView<float> grad_bias, Dims stride, Dims padding, Dims dilation,
                          std::int64_t groups) {
    const auto g =
        conv_geometry("conv_backward_weight", false, shape_of(input), shape_of(grad_output),
                      shape_of(grad_weight), stride, padding, dilation, groups);
    choose_conv_algorithm<T>(g).weight_gradient(g, input.data, grad_output.data, grad_weight.data);
    bias_gradient("conv_backward_weight", grad_output, grad_bias);
}

template <class T>
void conv_transpose_forward(View<const T> input, View<const float> weight,
                            OptionalView<const float> bias, View<T> output, Dims stride,
                            Dims padding, Dims dilation, std::int64_t groups) {
    const auto g = conv_geometry("conv_transpose_forward", true, shape_of(output), shape_of(input),
                                 weight, stride, padding, dilation, groups);
    choose_conv_algorithm<T>(g).fine_from_coarse(
        g, input.data, weight.data, bias_data("conv_transpose_forward", bias, output), output.data);
}

template <class T>
void conv_transpose_backward_data(View<const T> grad_output, View<const float> weight,
                                  View<T> grad_input, Dims stride, Dims padding, Dims dilation,
                                  std::int64_t groups) {
    const auto g = conv_geometry("conv_transpose_backward_data", true, shape_of(grad_output),
                                 shape_of(grad_input), weight, stride, padding, dilation, groups);
    choose_conv_algorithm<T>(g).coarse_from_fine(g, grad_output.data, weight.data, nullptr,
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
                    View<T> output) {
    const auto g = linear_geometry("linear_forward", shape_of(input), weight, shape_of(output));
    choose_conv_algorithm<T>(g).coarse_from_fine(
        g, input.data, weight.data, bias_data("linear_forward", bias, output), output.data);
}

template <class T>
void linear_backward_data(View<const T> grad_output, View<const float> weight, View<T> grad_input) {
    const auto g = linear_geometry("linear_backward_data", shape_of(grad_input), weight,
                                   shape_of(grad_output));
    choose_conv_algorithm<T>(g).fine_from_coarse(g, grad_output.data, weight.data, nullptr,
                                                 grad_input.data);
}

template <class T>
void linear_backward_weight(View<const T> grad_output, View<const T> input, View<float> grad_weight,
                            OptionalView<float> grad_bias) {
    const auto g = linear_geometry("linear_backward_weight", shape_of(input), shape_of(grad_weight),
                                   shape_of(grad_output));
    choose_conv_algorithm<T>(g).weight_gradient(g, input.data, grad_output.data, grad_weight.data);
    bias_gradient("linear_backward_weight", grad_output, grad_bias);
}

#define VOXELGRAD_INSTANTIATE(T)                                                                  \
    template void conv_forward(View<const T>, View<const float>, OptionalView<const float>,       \
                               View<T>, Dims, Dims, Dims, std::int64_t);                          \
    template void conv_backward_data(View<const T>, View<const float>, View<T>, Dims, Dims, Dims, \
                                     std::int64_t);                                               \
    template void conv_backward_weight(View<const T>, View<const T>, View<float>,                 \
                                       OptionalView<float>, Dims, Dims, Dims, std::int64_t);      \
    template void conv_transpose_forward(View<const T>, View<const float>,                        \
                                         OptionalView<const float>, View<T>, Dims, Dims, Dims,    \
                                         std::int64_t);                                           \
    template void conv_transpose_backward_data(View<const T>, View<const float>, View<T>, Dims,   \
                                               Dims, Dims, std::int64_t);                         \
    template void conv_transpose_backward_weight(View<const T>, View<const T>, View<float>,       \
                                                 OptionalView<float>, Dims, Dims, Dims,           \
                                                 std::int64_t);                                   \
    template void linear_forward(View<const T>, View<const float>, OptionalView<const float>,     \
                                 View<T>);                                                        \
    template void linear_backward_data(View<const T>, View<const float>, View<T>);                \
    template void linear_backward_weight(View<const T>, View<const T>, View<float>,               \
                                         OptionalView<float>);

VOXELGRAD_INSTANTIATE(float)
VOXELGRAD_INSTANTIATE(bf16)

void set_conv_algorithm(const std::string& name) { force_conv_algorithm(name.c_str()); }

}  // namespace voxelgrad

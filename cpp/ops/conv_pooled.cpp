#include "ops/conv_pooled.hpp"

#include "core/check.hpp"
#include "ops/conv_algorithms.hpp"
#include "ops/conv_arguments.hpp"
#include "ops/conv_sparse.hpp"
#include "ops/pool_axes.hpp"

namespace voxelgrad {
namespace {

constexpr std::int64_t fewest_places = 4;   // so that at most a quarter of the gradient is not zero
constexpr std::int64_t fewest_columns = 8;  // of windows, which are listed row by row

ConvGeometry geometry_of(const char* op, const View<const float>& input,
                         const View<const float>& weight, const Dims& padding) {
    check(input.rank == 4 && weight.rank == 4 && padding.rank == 2, op, ": input ", input,
          ", weight ", weight, " and padding must be of two axes");
    View<const float> output = input;
    for (int a = 1; a < 3; ++a) output.shape[a] += 2 * padding[a - 1] - weight[a] + 1;
    output.shape[3] = weight[0];
    const Dims one{2, {1, 1}};
    return conv_geometry(op, false, input, output, weight, one, padding, one, 1);
}

bool serves(const ConvGeometry& g, const Dims& pool_size) {
    const std::int64_t places = window_places(pool_size);
    return pool_size.rank == 2 && places >= fewest_places && places <= no_place &&
           g.coarse[1] >= pool_size[0] && g.coarse[2] >= fewest_columns * pool_size[1] &&
           conv_sparse_fits(g) && &choose_conv_algorithm<float>(g) == &conv_direct;
}

SparseGradient gradient_of(const char* op, const ConvGeometry& g,
                           const View<const float>& grad_output,
                           const View<const std::uint8_t>& indices, const Dims& pool_size) {
    check(serves(g, pool_size), op, ": it does not take such a convolution and pool");
    check_same_shape(op, "indices", indices, "grad_output", grad_output);
    const std::int64_t rows = g.coarse[1] / pool_size[0], columns = g.coarse[2] / pool_size[1];
    check(grad_output.rank == 4 && grad_output[0] == g.batch && grad_output[1] == rows &&
              grad_output[2] == columns && grad_output[3] == g.coarse_channels,
          op, ": grad_output ", grad_output, " must be (", g.batch, ", ", rows, ", ", columns, ", ",
          g.coarse_channels, ")");
    return {grad_output.data, indices.data, rows, columns, pool_size[0], pool_size[1]};
}

}  // namespace

bool conv_reads_pooled(View<const float> input, View<const float> weight, Dims padding,
                       Dims pool_size) {
    if (input.rank != 4 || weight.rank != 4) return false;
    return serves(geometry_of("conv_reads_pooled", input, weight, padding), pool_size);
}

void conv_pooled_backward_weight(View<const float> grad_output, View<const std::uint8_t> indices,
                                 View<const float> input, View<float> grad_weight,
                                 OptionalView<float> grad_bias, Dims padding, Dims pool_size) {
    constexpr const char* op = "conv_pooled_backward_weight";
    const auto g = geometry_of(op, input, shape_of(grad_weight), padding);
    const auto gradient = gradient_of(op, g, grad_output, indices, pool_size);
    if (grad_bias) bias_sums(op, grad_output, grad_bias);
    conv_sparse_weight_gradient(g, input.data, gradient, grad_weight.data, grad_bias.data);
}

}  // namespace voxelgrad

#include "ops/conv_geometry.hpp"

#include "core/check.hpp"

namespace voxelgrad {
namespace {

void check_axis(const char* op, const ConvGeometry& g, int axis) {
    check(
        g.kernel[axis] >= 1 && g.stride[axis] >= 1 && g.padding[axis] >= 0 && g.dilation[axis] >= 1,
        op, ": kernel, stride and dilation must be at least 1 and padding at least 0");
    constexpr std::int64_t most = std::int64_t{1} << 30;  // so that no product below overflows
    check(g.stride[axis] <= most && g.padding[axis] <= most && g.dilation[axis] <= most, op,
          ": stride, padding and dilation must be at most ", most);
    // The coarse grid may stop early (a remainder of the stride), but no tap may lie wholly
    // outside.
    const std::int64_t reach = g.stride[axis] * (g.coarse[axis] - 1) +
                               g.dilation[axis] * (g.kernel[axis] - 1) - g.padding[axis];
    check(reach < g.fine[axis] + g.padding[axis], op, ": the windows of ", g.coarse[axis],
          " output positions do not fit into ", g.fine[axis], " padded by ", g.padding[axis]);
}

// A kernel of one tap sees pixels, not images: short rows, which fill no register block evenly,
// become one.
void flatten_pointwise(ConvGeometry& g) {
    constexpr std::int64_t long_row = 64;
    if (g.fine[conv_axes - 1] >= long_row) return;
    for (int axis = 0; axis < conv_axes; ++axis)
        if (g.kernel[axis] != 1 || g.stride[axis] != 1 || g.padding[axis] != 0) return;
    if (g.fine_pixels() != g.coarse_pixels()) return;  // the coarse grid stops early
    const std::int64_t pixels = g.batch * g.fine_pixels();
    g.batch = 1;
    for (int axis = 0; axis < conv_axes; ++axis)
        g.fine[axis] = g.coarse[axis] = axis == conv_axes - 1 ? pixels : 1;
}

}  // namespace

ConvGeometry conv_geometry(const char* op, bool transposed, const View<const float>& fine,
                           const View<const float>& coarse, const View<const float>& weight,
                           const Dims& stride, const Dims& padding, const Dims& dilation,
                           std::int64_t groups) {
    const int rank = fine.rank - 2;
    check(rank >= 1 && rank <= conv_axes && coarse.rank == fine.rank && weight.rank == fine.rank,
          op, ": arrays ", fine, ", ", coarse, " and weight ", weight,
          " must all have 1 to 3 spatial axes");
    check(stride.rank == rank && padding.rank == rank && dilation.rank == rank, op,
          ": stride, padding and dilation must have ", rank, " values");
    check(fine[0] == coarse[0], op, ": batch sizes ", fine[0], " and ", coarse[0], " differ");
    check(groups >= 1 && fine.last() % groups == 0 && coarse.last() % groups == 0, op,
          ": groups = ", groups, " must divide the channels ", fine.last(), " and ", coarse.last());

    ConvGeometry g{};
    g.batch = fine[0];
    g.groups = groups;
    g.fine_channels = fine.last() / groups;
    g.coarse_channels = coarse.last() / groups;
    g.transposed = transposed;
    const std::int64_t out_channels = transposed ? fine.last() : coarse.last();
    const std::int64_t in_channels = transposed ? g.coarse_channels : g.fine_channels;
    check(weight[0] == out_channels && weight.last() == in_channels, op, ": weight ", weight,
          " must be (", out_channels, ", *kernel, ", in_channels, ")");
    for (int axis = 0; axis < conv_axes; ++axis) {
        const int from = axis - (conv_axes - rank);  // axis of the arrays; negative: missing
        const bool given = from >= 0;
        g.fine[axis] = given ? fine[1 + from] : 1;
        g.coarse[axis] = given ? coarse[1 + from] : 1;
        g.kernel[axis] = given ? weight[1 + from] : 1;
        g.stride[axis] = given ? stride[from] : 1;
        g.padding[axis] = given ? padding[from] : 0;
        g.dilation[axis] = given ? dilation[from] : 1;
        check_axis(op, g, axis);
    }
    flatten_pointwise(g);
    return g;
}

}  // namespace voxelgrad

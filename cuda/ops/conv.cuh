// Convolution, transposed convolution and linear layers; semantics as in cpp/ops/conv.hpp.
#pragma once

#include "cuda/ops/conv_few.cuh"
#include "cuda/ops/conv_grouped.cuh"
#include "cuda/ops/conv_narrow_weight.cuh"
#include "cuda/ops/products.cuh"
#include "cuda/ops/reduce.cuh"
#include "ops/conv_arguments.hpp"

namespace voxelgrad::cuda {

// A pass needs this many blocks to fill a large device; longer sums are cut into pieces for it. Not
// asked of the device, so that results are the same on all.
constexpr std::int64_t wanted_blocks = 512;
constexpr std::int64_t shortest_piece = 64;                    // pixels
constexpr std::int64_t most_partial = std::int64_t{16} << 20;  // elements of partial sums

// Whether float32 may be rounded to TF32 for tensor cores.
inline bool tf32_allowed = false;

inline void allow_tf32(Stream, bool allowed) { tf32_allowed = allowed; }

template <class T, bool inner, class W>
ImagePass<T, inner, W> image_pass_of(const char* op, const ConvGeometry& g, bool to_fine,
                                     const T* source, const W* weight, const ConvEpilogue& epilogue,
                                     T* target) {
    ImagePass<T, inner, W> pass{};
    pass.gather = gather_of(op, g, to_fine);
    pass.source = source;
    pass.weight = weight;
    pass.epilogue = epilogue;
    pass.target = target;
    pass.groups = static_cast<int>(g.groups);
    pass.source_channels = static_cast<int>(to_fine ? g.coarse_channels : g.fine_channels);
    pass.target_channels = static_cast<int>(to_fine ? g.fine_channels : g.coarse_channels);
    pass.order = weight_order(g, inner);
    pass.by_source_channels = Divisor(pass.source_channels);
    return pass;
}

// Whether the channels of a group come in runs of `width` on both sides.
inline bool channels_in(int width, const ConvGeometry& g) {
    return g.fine_channels % width == 0 && g.coarse_channels % width == 0;
}

// On tensor cores the weight is rounded to bfloat16.
template <bool inner>
void rounded_image_pass(const char* op, Stream stream, const ConvGeometry& g, bool to_fine,
                        const bf16* source, const float* weight, const ConvEpilogue& epilogue,
                        bf16* target) {
    const auto pass_with = [&](auto* values) {
        return image_pass_of<bf16, inner>(op, g, to_fine, source, values, epilogue, target);
    };
    if (uses_wgmma(op)) return wgmma(op, stream, pass_with(weight));
    const Workspace<bf16> rounded(g.weight_size());
    map(op, stream, Scaled{1.0f}, g.weight_size(), rounded.data(), weight);
    mma<bf16>(op, stream, pass_with(static_cast<const bf16*>(rounded.data())));
}

template <class T, bool inner>
void image_pass(const char* op, Stream stream, const ConvGeometry& g, bool to_fine, const T* source,
                const float* weight, const ConvEpilogue& epilogue, T* target) {
    if constexpr (std::is_same_v<T, bf16>)
        if (channels_in(8, g) && all_aligned(source, target))
            return rounded_image_pass<inner>(op, stream, g, to_fine, source, weight, epilogue,
                                             target);
    const auto pass = image_pass_of<T, inner>(op, g, to_fine, source, weight, epilogue, target);
    if (is_grouped(g)) return grouped_image_pass(op, stream, pass);
    if (is_few(pass)) return few_image_pass(op, stream, pass);
    if (narrow_image_pass(op, stream, pass)) return;
    const bool whole = channels_in(4, g) && all_aligned(source, weight, target);
    if constexpr (std::is_same_v<T, float>)
        if (tf32_allowed && whole) return mma<float>(op, stream, pass);
    gemm(op, stream, pass, whole);
}

// fine from coarse if `to_fine`, else coarse from fine.
template <class T>
void image_pass(const char* op, Stream stream, const ConvGeometry& g, bool to_fine, const T* source,
                const float* weight, const ConvEpilogue& epilogue, T* target) {
    // The weight's last axis holds the fine channels, those of the coarse one if transposed.
    if (to_fine == g.transposed)
        image_pass<T, true>(op, stream, g, to_fine, source, weight, epilogue, target);
    else
        image_pass<T, false>(op, stream, g, to_fine, source, weight, epilogue, target);
}

// How long the pieces of the sum over `pixels` are if a piece takes `blocks` blocks.
inline std::int64_t piece_length(std::int64_t pixels, std::int64_t blocks, std::int64_t weight) {
    const std::int64_t pieces =
        std::min(divide_up(wanted_blocks, std::max<std::int64_t>(blocks, 1)),
                 std::max<std::int64_t>(most_partial / std::max<std::int64_t>(weight, 1), 1));
    return std::max(divide_up(pixels, pieces), shortest_piece);
}

template <class T>
void weight_product(const char* op, Stream stream, const ConvGeometry& g,
                    const WeightPass<T>& pass) {
    const bool aligned = all_aligned(pass.fine, pass.coarse);
    if constexpr (std::is_same_v<T, bf16>)
        if (channels_in(8, g) && aligned)
            return uses_wgmma(op) ? gathered_wgmma(op, stream, pass) : mma<bf16>(op, stream, pass);
    const bool whole = channels_in(4, g) && aligned;
    if constexpr (std::is_same_v<T, float>)
        if (tf32_allowed && whole) return mma<float>(op, stream, pass);
    gemm(op, stream, pass, whole);
}

// A pass whose pieces are chosen, as the number of pixels of one, when the kernel is.
template <class T>
WeightPass<T> weight_pass_of(const char* op, const ConvGeometry& g, const T* fine,
                             const T* coarse) {
    WeightPass<T> pass{};
    pass.gather = gather_of(op, g, false);
    pass.fine = fine;
    pass.coarse = coarse;
    pass.groups = static_cast<int>(g.groups);
    pass.coarse_channels = static_cast<int>(g.coarse_channels);
    pass.fine_channels = static_cast<int>(g.fine_channels);
    pass.order = weight_order(g, !g.transposed);
    pass.pixels = g.batch * g.coarse_pixels();
    pass.length = std::max<std::int64_t>(pass.pixels, 1);
    pass.weight_size = g.weight_size();
    pass.by_fine_channels = Divisor(pass.fine_channels);
    return pass;
}

// Whether channels alone tell the two grids apart.
inline bool grids_are_alike(const ConvGeometry& g) {
    bool alike = g.taps() == 1;
    for (int a = 0; a < conv_axes; ++a)
        alike = alike && g.fine[a] == g.coarse[a] && g.padding[a] == 0;
    return alike;
}

// The same sums with the grids exchanged, so that a head's few channels are those of the fine one.
template <class T>
WeightPass<T> exchanged(const char* op, ConvGeometry g, const WeightPass<T>& pass) {
    std::swap(g.fine_channels, g.coarse_channels);
    WeightPass<T> result = weight_pass_of(op, g, pass.coarse, pass.fine);
    result.order = pass.order;
    std::swap(result.order.k, result.order.n);
    return result;
}

// Runs compute(pass) with room for the sums of all pieces, and adds these.
template <class T, class Compute>
void sum_pieces(Stream stream, WeightPass<T> pass, std::int64_t pieces, float* grad_weight,
                const Compute& compute) {
    const Workspace<float> partial(pieces > 1 ? pieces * pass.weight_size : 0);
    pass.output = pieces > 1 ? partial.data() : grad_weight;
    compute(pass);
    if (pieces == 1) return;
    const Groups axes{2, {pieces, pass.weight_size}, {true, false}};
    sum_groups(stream, static_cast<const float*>(partial.data()), axes, 1.0f, grad_weight);
}

template <class T>
void weight_pass(const char* op, Stream stream, const ConvGeometry& g, const T* fine,
                 const T* coarse, float* grad_weight) {
    WeightPass<T> pass = weight_pass_of(op, g, fine, coarse);
    const bool grouped = is_grouped(g);
    if (!grouped && grids_are_alike(g) && pass.coarse_channels <= most_patch_channels)
        pass = exchanged(op, g, pass);
    if (!grouped && is_narrow(pass)) {
        const std::int64_t most = most_partial / std::max<std::int64_t>(pass.weight_size, 1);
        const NarrowWeights<T> all(pass, std::max<std::int64_t>(most, 1));
        return sum_pieces(stream, pass, all.grid.ranges.ranges, grad_weight,
                          [&](const auto& some) { narrow_weight_pass(op, stream, some, all); });
    }
    const std::int64_t pairs = g.groups * g.coarse_channels * g.fine_channels;
    const std::int64_t tiles =
        grouped ? divide_up(pairs, most_columns) * pass.taps()
                : g.groups * divide_up(pass.coarse_channels, 128) * divide_up(pass.columns(), 64);
    pass.length = piece_length(pass.pixels, tiles, pass.weight_size);
    check(pass.length < most_places, op, ": a sum over ", pass.length,
          " pixels is too long; CUDA kernels take up to ", most_places, ": split the input");
    const std::int64_t pieces = divide_up(std::max<std::int64_t>(pass.pixels, 1), pass.length);
    sum_pieces(stream, pass, pieces, grad_weight, [&](const auto& some) {
        if (grouped)
            grouped_weight_pass(op, stream, some, pairs, pieces);
        else
            weight_product(op, stream, g, some);
    });
}

template <class T>
void bias_gradient(const char* op, Stream stream, const View<const T>& grad_output,
                   const OptionalView<float>& grad_bias) {
    if (grad_bias) reduce_sum(stream, grad_output, bias_sums(op, grad_output, grad_bias), 1.0);
}

template <class T>
void conv_forward(Stream stream, View<const T> input, View<const float> weight,
                  OptionalView<const float> bias, View<T> output, Dims stride, Dims padding,
                  Dims dilation, std::int64_t groups, float slope) {
    const char* const op = "conv_forward";
    const auto g = conv_geometry(op, false, shape_of(input), shape_of(output), weight, stride,
                                 padding, dilation, groups);
    image_pass(op, stream, g, false, input.data, weight.data, {bias_data(op, bias, output), slope},
               output.data);
}

template <class T>
void conv_backward_data(Stream stream, View<const T> grad_output, View<const float> weight,
                        View<T> grad_input, Dims stride, Dims padding, Dims dilation,
                        std::int64_t groups) {
    const char* const op = "conv_backward_data";
    const auto g = conv_geometry(op, false, shape_of(grad_input), shape_of(grad_output), weight,
                                 stride, padding, dilation, groups);
    image_pass(op, stream, g, true, grad_output.data, weight.data, {}, grad_input.data);
}

template <class T>
void conv_backward_weight(Stream stream, View<const T> grad_output, View<const T> input,
                          View<float> grad_weight, OptionalView<float> grad_bias, Dims stride,
                          Dims padding, Dims dilation, std::int64_t groups) {
    const char* const op = "conv_backward_weight";
    const auto g = conv_geometry(op, false, shape_of(input), shape_of(grad_output),
                                 shape_of(grad_weight), stride, padding, dilation, groups);
    weight_pass(op, stream, g, input.data, grad_output.data, grad_weight.data);
    bias_gradient(op, stream, grad_output, grad_bias);
}

template <class T>
void conv_transpose_forward(Stream stream, View<const T> input, View<const float> weight,
                            OptionalView<const float> bias, View<T> output, Dims stride,
                            Dims padding, Dims dilation, std::int64_t groups, float slope) {
    const char* const op = "conv_transpose_forward";
    const auto g = conv_geometry(op, true, shape_of(output), shape_of(input), weight, stride,
                                 padding, dilation, groups);
    image_pass(op, stream, g, true, input.data, weight.data, {bias_data(op, bias, output), slope},
               output.data);
}

template <class T>
void conv_transpose_backward_data(Stream stream, View<const T> grad_output,
                                  View<const float> weight, View<T> grad_input, Dims stride,
                                  Dims padding, Dims dilation, std::int64_t groups) {
    const char* const op = "conv_transpose_backward_data";
    const auto g = conv_geometry(op, true, shape_of(grad_output), shape_of(grad_input), weight,
                                 stride, padding, dilation, groups);
    image_pass(op, stream, g, false, grad_output.data, weight.data, {}, grad_input.data);
}

template <class T>
void conv_transpose_backward_weight(Stream stream, View<const T> grad_output, View<const T> input,
                                    View<float> grad_weight, OptionalView<float> grad_bias,
                                    Dims stride, Dims padding, Dims dilation, std::int64_t groups) {
    const char* const op = "conv_transpose_backward_weight";
    const auto g = conv_geometry(op, true, shape_of(grad_output), shape_of(input),
                                 shape_of(grad_weight), stride, padding, dilation, groups);
    weight_pass(op, stream, g, grad_output.data, input.data, grad_weight.data);
    bias_gradient(op, stream, grad_output, grad_bias);
}

template <class T>
void linear_forward(Stream stream, View<const T> input, View<const float> weight,
                    OptionalView<const float> bias, View<T> output, float slope) {
    const char* const op = "linear_forward";
    const auto g = linear_geometry(op, shape_of(input), weight, shape_of(output));
    image_pass(op, stream, g, false, input.data, weight.data, {bias_data(op, bias, output), slope},
               output.data);
}

template <class T>
void linear_backward_data(Stream stream, View<const T> grad_output, View<const float> weight,
                          View<T> grad_input) {
    const char* const op = "linear_backward_data";
    const auto g = linear_geometry(op, shape_of(grad_input), weight, shape_of(grad_output));
    image_pass(op, stream, g, true, grad_output.data, weight.data, {}, grad_input.data);
}

template <class T>
void linear_backward_weight(Stream stream, View<const T> grad_output, View<const T> input,
                            View<float> grad_weight, OptionalView<float> grad_bias) {
    const char* const op = "linear_backward_weight";
    const auto g =
        linear_geometry(op, shape_of(input), shape_of(grad_weight), shape_of(grad_output));
    weight_pass(op, stream, g, input.data, grad_output.data, grad_weight.data);
    bias_gradient(op, stream, grad_output, grad_bias);
}

}  // namespace voxelgrad::cuda

#include "ops/conv_joined.hpp"

#include <algorithm>

#include "core/pool.hpp"
#include "ops/conv_algorithms.hpp"
#include "ops/conv_bias.hpp"
#include "ops/shape.hpp"

namespace voxelgrad {
namespace {

// The images side by side: their shape once joined, and where each begins.
template <class T>
struct Joined {
    Joined(const char* op, const char* name, const std::vector<View<T>>& images)
        : whole(images.empty() ? View<T>{} : images.front()) {
        check(whole.rank >= 1, op, ": ", name, "s must be one image or more");
        std::int64_t& channels = whole.shape[whole.rank - 1];
        channels = 0;
        for (const View<T>& image : images) channels += image.rank ? image.last() : 0;
        whole.data = nullptr;
        pieces = pieces_of(op, name, "their join", images, whole, axis());
    }

    int axis() const { return whole.rank - 1; }

    // Whether an algorithm can take them as they are.
    template <class Image>
    bool suit(const ConvGeometry& g, const ConvAlgorithmFor<Image>& algorithm) const {
        const std::int64_t block = algorithm.piece_block;
        return block > 0 && g.groups == 1 &&
               std::all_of(pieces.begin(), pieces.end(),
                           [&](const Piece<T>& piece) { return piece.begin % block == 0; });
    }

    View<T> whole;  // without data
    std::vector<Piece<T>> pieces;
};

// The joined image in memory of its own.
template <class T>
class JoinedCopy {
 public:
    JoinedCopy(const Joined<const T>& joined, const std::vector<View<const T>>& images)
        : memory_(joined.whole.size()) {
        View<T> whole{memory_.data(), joined.whole.rank, {}};
        std::copy_n(joined.whole.shape, whole.rank, whole.shape);
        concat(images, whole, joined.axis());
    }
    const T* data() const { return memory_.data(); }

 private:
    Workspace<T> memory_;
};

}  // namespace

template <class T>
void write_conv_joined(const char* op, const std::vector<View<const T>>& inputs,
                       View<const float> weight, OptionalView<const float> bias, View<T> output,
                       Dims stride, Dims padding, Dims dilation, std::int64_t groups, float slope,
                       WrittenChunks* written) {
    const Joined<const T> joined(op, "input", inputs);
    const auto g = conv_geometry(op, false, shape_of(joined.whole), shape_of(output), weight,
                                 stride, padding, dilation, groups);
    const auto& algorithm = choose_conv_algorithm<T>(g);
    const ConvEpilogue epilogue{bias_data(op, bias, output), slope, written};
    if (joined.suit(g, algorithm))
        return algorithm.coarse_from_pieces(g, joined.pieces, weight.data, epilogue, output.data);
    if (inputs.size() == 1)
        return algorithm.coarse_from_fine(g, inputs[0].data, weight.data, epilogue, output.data);
    algorithm.coarse_from_fine(g, JoinedCopy<T>(joined, inputs).data(), weight.data, epilogue,
                               output.data);
}

template <class T>
void conv_joined_forward(const std::vector<View<const T>>& inputs, View<const float> weight,
                         OptionalView<const float> bias, View<T> output, Dims stride, Dims padding,
                         Dims dilation, std::int64_t groups, float slope) {
    write_conv_joined("conv_joined_forward", inputs, weight, bias, output, stride, padding,
                      dilation, groups, slope, nullptr);
}

template <class T>
void conv_joined_backward_data(View<const T> grad_output, View<const float> weight,
                               const std::vector<View<T>>& grad_inputs, Dims stride, Dims padding,
                               Dims dilation, std::int64_t groups) {
    const char* const op = "conv_joined_backward_data";
    const Joined<T> joined(op, "grad_input", grad_inputs);
    const auto g = conv_geometry(op, false, shape_of(joined.whole), shape_of(grad_output), weight,
                                 stride, padding, dilation, groups);
    const auto& algorithm = choose_conv_algorithm<T>(g);
    if (joined.suit(g, algorithm))
        return algorithm.pieces_from_coarse(g, grad_output.data, weight.data, {}, joined.pieces);
    const Workspace<T> memory(joined.whole.size());
    algorithm.fine_from_coarse(g, grad_output.data, weight.data, {}, memory.data());
    View<const T> whole{memory.data(), joined.whole.rank, {}};
    std::copy_n(joined.whole.shape, whole.rank, whole.shape);
    split(whole, grad_inputs, joined.axis());
}

template <class T>
void conv_joined_backward_weight(View<const T> grad_output,
                                 const std::vector<View<const T>>& inputs, View<float> grad_weight,
                                 OptionalView<float> grad_bias, Dims stride, Dims padding,
                                 Dims dilation, std::int64_t groups) {
    const char* const op = "conv_joined_backward_weight";
    const Joined<const T> joined(op, "input", inputs);
    const auto g = conv_geometry(op, false, shape_of(joined.whole), shape_of(grad_output),
                                 shape_of(grad_weight), stride, padding, dilation, groups);
    const auto& algorithm = choose_conv_algorithm<T>(g);
    if (joined.suit(g, algorithm))
        algorithm.weight_gradient_of_pieces(g, joined.pieces, grad_output.data, grad_weight.data);
    else
        algorithm.weight_gradient(g, JoinedCopy<T>(joined, inputs).data(), grad_output.data,
                                  grad_weight.data);
    bias_gradient(op, grad_output, grad_bias);
}

#define VOXELGRAD_INSTANTIATE(T)                                                                  \
    template void write_conv_joined(const char*, const std::vector<View<const T>>&,               \
                                    View<const float>, OptionalView<const float>, View<T>, Dims,  \
                                    Dims, Dims, std::int64_t, float, WrittenChunks*);             \
    template void conv_joined_forward(const std::vector<View<const T>>&, View<const float>,       \
                                      OptionalView<const float>, View<T>, Dims, Dims, Dims,       \
                                      std::int64_t, float);                                       \
    template void conv_joined_backward_data(View<const T>, View<const float>,                     \
                                            const std::vector<View<T>>&, Dims, Dims, Dims,        \
                                            std::int64_t);                                        \
    template void conv_joined_backward_weight(View<const T>, const std::vector<View<const T>>&,   \
                                              View<float>, OptionalView<float>, Dims, Dims, Dims, \
                                              std::int64_t);

VOXELGRAD_INSTANTIATE(float)
VOXELGRAD_INSTANTIATE(bf16)

}  // namespace voxelgrad

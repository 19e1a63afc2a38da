// Convolution of bfloat16 images by the float algorithms: for what the tiles do not serve.
#include "core/pool.hpp"
#include "ops/cast.hpp"
#include "ops/conv_algorithms.hpp"

namespace voxelgrad {
namespace {

// A float copy of an image.
class Widened {
 public:
    Widened(const bf16* image, std::int64_t size) : floats_(size) {
        widen({image, 1, {size}}, {floats_.data(), 1, {size}});
    }
    const float* data() const { return floats_.data(); }

 private:
    Workspace<float> floats_;
};

// What is left to do for the float result, which is not the output yet.
ConvEpilogue of_copy(const ConvEpilogue& epilogue) { return {epilogue.bias, epilogue.slope}; }

std::int64_t fine_size(const ConvGeometry& g) {
    return g.batch * g.fine_pixels() * g.groups * g.fine_channels;
}

std::int64_t coarse_size(const ConvGeometry& g) {
    return g.batch * g.coarse_pixels() * g.groups * g.coarse_channels;
}

void coarse_from_fine(const ConvGeometry& g, const bf16* fine, const float* weight,
                      const ConvEpilogue& epilogue, bf16* coarse) {
    const Workspace<float> result(coarse_size(g));
    choose_conv_algorithm<float>(g).coarse_from_fine(g, Widened(fine, fine_size(g)).data(), weight,
                                                     of_copy(epilogue), result.data());
    narrow({result.data(), 1, {coarse_size(g)}}, {coarse, 1, {coarse_size(g)}});
}

void fine_from_coarse(const ConvGeometry& g, const bf16* coarse, const float* weight,
                      const ConvEpilogue& epilogue, bf16* fine) {
    const Workspace<float> result(fine_size(g));
    choose_conv_algorithm<float>(g).fine_from_coarse(g, Widened(coarse, coarse_size(g)).data(),
                                                     weight, of_copy(epilogue), result.data());
    narrow({result.data(), 1, {fine_size(g)}}, {fine, 1, {fine_size(g)}});
}

void weight_gradient(const ConvGeometry& g, const bf16* fine, const bf16* coarse,
                     float* grad_weight) {
    const Widened wide_fine(fine, fine_size(g)), wide_coarse(coarse, coarse_size(g));
    choose_conv_algorithm<float>(g).weight_gradient(g, wide_fine.data(), wide_coarse.data(),
                                                    grad_weight);
}

bool accepts(const ConvGeometry&) { return true; }

}  // namespace

extern const ConvAlgorithmFor<bf16> conv_widened = {
    "widened", accepts, accepts, coarse_from_fine, fine_from_coarse, weight_gradient};

}  // namespace voxelgrad

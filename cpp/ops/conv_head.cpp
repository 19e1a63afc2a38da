// A convolution with one tap and few target channels: a product of all pixels with a small matrix.
#include "kernels/conv_head.hpp"

#include <algorithm>

#include "core/parallel_for.hpp"
#include "ops/conv_algorithms.hpp"

namespace voxelgrad {
namespace {

constexpr std::int64_t task_size = 1 << 16;  // floats of the source

void coarse_from_fine(const ConvGeometry& g, const float* fine, const float* weight,
                      const ConvEpilogue& epilogue, float* coarse) {
    const std::int64_t channels = g.fine_channels, targets = g.coarse_channels;
    const std::int64_t grain = std::max<std::int64_t>(1, task_size / channels);
    parallel_for_ranges(g.batch * g.coarse_pixels(), grain, [&](std::int64_t begin, auto end) {
        conv_head_kernels().row(fine + begin * channels, weight, epilogue.bias, epilogue.slope,
                                coarse + begin * targets, end - begin, channels,
                                static_cast<int>(targets));
    });
}

void fine_from_coarse(const ConvGeometry& g, const float* coarse, const float* weight,
                      const ConvEpilogue& epilogue, float* fine) {
    conv_direct.fine_from_coarse(g, coarse, weight, epilogue, fine);
}

void weight_gradient(const ConvGeometry& g, const float* fine, const float* coarse,
                     float* grad_weight) {
    conv_direct.weight_gradient(g, fine, coarse, grad_weight);
}

bool accepts(const ConvGeometry& g) {
    return g.taps() == 1 && g.groups == 1 && !g.transposed && g.fine_channels > 0 &&
           g.coarse_channels <= head_channels && std::equal(g.fine, g.fine + conv_axes, g.coarse) &&
           std::all_of(g.stride, g.stride + conv_axes, [](std::int64_t s) { return s == 1; });
}

// With fewer channels the vectors would not be full.
bool worthwhile(const ConvGeometry& g) { return g.fine_channels >= 16; }

}  // namespace

extern const ConvAlgorithm conv_head = {"head",           accepts,          worthwhile,
                                        coarse_from_fine, fine_from_coarse, weight_gradient};

}  // namespace voxelgrad

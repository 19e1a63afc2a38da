#include <algorithm>

#include "core/parallel_for.hpp"
#include "core/split.hpp"
#include "kernels/transpose.hpp"
#include "kernels/winograd_product.hpp"
#include "ops/conv_winograd.hpp"

namespace voxelgrad {
namespace {

// Copies one tap of the weight between `sources` channels from `source` on and `targets` from
// `target` on to taps[source][width].
void copy_tap(const Sides& sides, const float* weight, std::int64_t tap, std::int64_t target,
              std::int64_t targets, std::int64_t source, std::int64_t sources, float* taps,
              std::int64_t width) {
    weight += sides.weight_index(0, target, source, tap);
    const std::int64_t target_step = sides.target_step(), source_step = sides.source_step();
    if (source_step == 1) {
        for (std::int64_t t = 0; t < targets; ++t)  // the next block of channels
            __builtin_prefetch(weight + t * target_step + strip_block);
        transpose_kernels<float>().matrix(weight, target_step, taps, width, sources, targets,
                                          false);
        return;
    }
    for (std::int64_t s = 0; s < sources; ++s)
        std::copy_n(weight + s * source_step, targets, taps + s * width);
}

}  // namespace

WinogradWeight::WinogradWeight(WinogradForm form, const WinogradSides& sides, const float* weight)
    : form_(form),
      depth_parts_(form.depth_parts(sides.depth_taps())),
      panels_(divide_up(sides.target_channels(), winograd_product_kernels().panel)),
      stride_(frequency_stride(depth_parts_ * sides.source_channels() *
                               winograd_product_kernels().panel)),
      data_(&winograd_kernels().weights.of(form), weight, sides.geometry.weight_size(),
            panels_ * form.frequencies() * stride_, [&](float* data) {
                const std::int64_t blocks = divide_up(sides.source_channels(), strip_block);
                parallel_for(panels_ * blocks, [&](std::int64_t task) {
                    transform(sides, weight, task / blocks, task % blocks * strip_block, data);
                });
            }) {}

// One panel for one block of 16 source channels.
void WinogradWeight::transform(const WinogradSides& sides, const float* weight, std::int64_t panel,
                               std::int64_t start, float* data) const {
    const std::int64_t width = winograd_product_kernels().panel, tap_stride = strip_block * width;
    const std::int64_t first = panel * width, all = sides.source_channels();
    const std::int64_t targets = std::min(width, sides.target_channels() - first);
    const std::int64_t sources = std::min(strip_block, all - start);
    const std::int64_t part_stride = form_.plane() * tap_stride;
    const GatherPhase& phase = sides.phase_between(first, start);
    Workspace<float> taps(depth_parts_ * part_stride);
    std::fill_n(taps.data(), sides.depth_taps() * part_stride, 0.0f);
    for (std::int64_t depth = 0; depth < sides.depth_taps(); ++depth)
        for (int t = 0; t < form_.plane(); ++t)
            if (const auto tap = sides.tap_at(phase, depth, t / form_.taps, t % form_.taps);
                tap >= 0)
                copy_tap(sides, weight, tap, first % sides.target.channels, targets,
                         start % sides.source.channels, sources,
                         taps.data() + depth * part_stride + t * tap_stride, width);
    if (form_.deep()) winograd_depth_kernels().of(form_.group).weight(taps.data(), part_stride);
    for (std::int64_t part = 0; part < depth_parts_; ++part) {
        if (!form_.deep() && !sides.reaches(phase, part)) continue;
        float* out = data + panel * form_.frequencies() * stride_ + (part * all + start) * width;
        for (std::int64_t s = 0; s < sources; ++s)
            winograd_kernels().weights.of(form_).weight(
                taps.data() + part * part_stride + s * width, tap_stride, out + s * width, stride_);
    }
    winograd_kernels().fence();
}

}  // namespace voxelgrad

// Depthwise convolution without copies: for every target row and tap, the columns that lie inside
// the image are one run of multiply-adds over channels.
#include "kernels/conv_depthwise.hpp"

#include <algorithm>

#include "core/parallel_for.hpp"
#include "core/pool.hpp"
#include "ops/conv_algorithms.hpp"
#include "ops/conv_gather.hpp"

namespace voxelgrad {
namespace {

// Columns j in [begin, end) of a phase whose source column unit * j + offset lies in [0, width).
struct Range {
    std::int64_t begin, end;
};

Range columns_inside(std::int64_t count, std::int64_t unit, std::int64_t offset,
                     std::int64_t width) {
    const std::int64_t begin = offset < 0 ? (-offset + unit - 1) / unit : 0;
    const std::int64_t left = width - offset;
    const std::int64_t end = left <= 0 ? 0 : std::min(count, (left + unit - 1) / unit);
    return {begin, std::max(begin, end)};
}

bool inside(std::int64_t at, std::int64_t extent) { return at >= 0 && at < extent; }

struct Pass {
    const float* source;
    const std::int64_t* source_extent;
    const float* weight;  // [tap][channel]
    const float* bias;
    float* target;
    const std::int64_t* target_extent;
    std::int64_t channels;
};

void run_row(const Pass& pass, const GatherPhase& phase, std::int64_t image, std::int64_t j_depth,
             std::int64_t j_row) {
    const std::int64_t channels = pass.channels;
    const std::int64_t* in = pass.source_extent;
    const std::int64_t* out = pass.target_extent;
    const std::int64_t depth = phase.start[0] + phase.step[0] * j_depth;
    const std::int64_t height = phase.start[1] + phase.step[1] * j_row;
    float* target =
        pass.target +
        (((image * out[0] + depth) * out[1] + height) * out[2] + phase.start[2]) * channels;
    const std::int64_t target_stride = phase.step[2] * channels;
    for (std::int64_t j = 0; j < phase.count[2]; ++j) {
        float* pixel = target + j * target_stride;
        if (pass.bias)
            std::copy_n(pass.bias, channels, pixel);
        else
            std::fill_n(pixel, channels, 0.0f);
    }
    for (const GatherTap& tap : phase.taps) {
        const std::int64_t d = phase.unit[0] * j_depth + tap.offset[0];
        const std::int64_t h = phase.unit[1] * j_row + tap.offset[1];
        if (!inside(d, in[0]) || !inside(h, in[1])) continue;
        const Range j = columns_inside(phase.count[2], phase.unit[2], tap.offset[2], in[2]);
        const float* source = pass.source + (((image * in[0] + d) * in[1] + h) * in[2] +
                                             phase.unit[2] * j.begin + tap.offset[2]) *
                                                channels;
        depthwise_kernels().multiply_add_row(
            source, phase.unit[2] * channels, pass.weight + tap.number * channels,
            target + j.begin * target_stride, target_stride, j.end - j.begin, channels);
    }
}

void run(const Pass& pass, const GatherPhase& phase, std::int64_t batch) {
    const std::int64_t rows = phase.count[0] * phase.count[1];
    if (rows * phase.count[2] == 0) return;
    parallel_for(batch * rows, [&](std::int64_t at) {
        run_row(pass, phase, at / rows, at % rows / phase.count[1], at % phase.count[1]);
    });
}

// (channels, taps) -> (taps, channels) and back.
void transpose(const float* from, std::int64_t rows, std::int64_t columns, float* to) {
    for (std::int64_t r = 0; r < rows; ++r)
        for (std::int64_t c = 0; c < columns; ++c) to[c * rows + r] = from[r * columns + c];
}

void coarse_from_fine(const ConvGeometry& g, const float* fine, const float* weight,
                      const float* bias, float* coarse) {
    Workspace<float> by_tap(g.taps() * g.groups);
    transpose(weight, g.groups, g.taps(), by_tap.data());
    run({fine, g.fine, by_tap.data(), bias, coarse, g.coarse, g.groups}, gather_coarse_from_fine(g),
        g.batch);
}

void fine_from_coarse(const ConvGeometry& g, const float* coarse, const float* weight,
                      const float* bias, float* fine) {
    Workspace<float> by_tap(g.taps() * g.groups);
    transpose(weight, g.groups, g.taps(), by_tap.data());
    for (const GatherPhase& phase : gather_fine_from_coarse(g))
        run({coarse, g.coarse, by_tap.data(), bias, fine, g.fine, g.groups}, phase, g.batch);
}

void add_row_gradient(const ConvGeometry& g, const GatherPhase& phase, const float* fine,
                      const float* coarse, std::int64_t row, float* sums) {
    const std::int64_t channels = g.groups;
    const std::int64_t h = row % g.coarse[1], d = row / g.coarse[1] % g.coarse[0];
    const std::int64_t image = row / (g.coarse[0] * g.coarse[1]);
    for (const GatherTap& tap : phase.taps) {
        const std::int64_t depth = phase.unit[0] * d + tap.offset[0];
        const std::int64_t height = phase.unit[1] * h + tap.offset[1];
        if (!inside(depth, g.fine[0]) || !inside(height, g.fine[1])) continue;
        const Range j = columns_inside(g.coarse[2], phase.unit[2], tap.offset[2], g.fine[2]);
        const float* source =
            fine + (((image * g.fine[0] + depth) * g.fine[1] + height) * g.fine[2] +
                    phase.unit[2] * j.begin + tap.offset[2]) *
                       channels;
        depthwise_kernels().dot_row(source, phase.unit[2] * channels,
                                    coarse + (row * g.coarse[2] + j.begin) * channels, channels,
                                    sums + tap.number * channels, j.end - j.begin, channels);
    }
}

void weight_gradient(const ConvGeometry& g, const float* fine, const float* coarse,
                     float* grad_weight) {
    constexpr std::int64_t most_chunks = 32;
    const GatherPhase phase = gather_coarse_from_fine(g);
    const std::int64_t rows = g.batch * g.coarse[0] * g.coarse[1], size = g.taps() * g.groups;
    const std::int64_t grain = std::max<std::int64_t>(1, (rows + most_chunks - 1) / most_chunks);
    const std::int64_t chunks = (rows + grain - 1) / grain;
    Workspace<float> partial((chunks + 1) * size);
    std::fill_n(partial.data(), (chunks + 1) * size, 0.0f);
    parallel_for_ranges(rows, grain, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t row = begin; row < end; ++row)
            add_row_gradient(g, phase, fine, coarse, row, partial.data() + begin / grain * size);
    });
    float* total = partial.data() + chunks * size;
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk)
        for (std::int64_t i = 0; i < size; ++i) total[i] += partial[chunk * size + i];
    transpose(total, g.taps(), g.groups, grad_weight);
}

bool accepts(const ConvGeometry& g) {
    return g.groups > 1 && g.fine_channels == 1 && g.coarse_channels == 1;
}

}  // namespace

extern const ConvAlgorithm conv_depthwise = {"depthwise",      accepts,          accepts,
                                             coarse_from_fine, fine_from_coarse, weight_gradient};

}  // namespace voxelgrad

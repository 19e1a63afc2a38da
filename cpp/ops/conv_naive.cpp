// Plain loops over everything: slow, short, and right for every geometry.
#include "core/parallel_for.hpp"
#include "ops/conv_algorithms.hpp"

namespace voxelgrad {
namespace {

struct Index {
    std::int64_t axis[conv_axes];
};

Index unravel(std::int64_t flat, const std::int64_t* extents) {
    return {{flat / (extents[1] * extents[2]), flat / extents[2] % extents[1], flat % extents[2]}};
}

// The fine pixel that `coarse` sees through tap `tap`, or -1 in the padding.
std::int64_t fine_pixel(const ConvGeometry& g, const Index& coarse, std::int64_t tap) {
    const Index t = unravel(tap, g.kernel);
    std::int64_t flat = 0;
    for (int a = 0; a < conv_axes; ++a) {
        const std::int64_t at =
            g.stride[a] * coarse.axis[a] + g.dilation[a] * t.axis[a] - g.padding[a];
        if (at < 0 || at >= g.fine[a]) return -1;
        flat = flat * g.fine[a] + at;
    }
    return flat;
}

// The coarse pixel that sees `fine` through tap `tap`, or -1 if there is none.
std::int64_t coarse_pixel(const ConvGeometry& g, const Index& fine, std::int64_t tap) {
    const Index t = unravel(tap, g.kernel);
    std::int64_t flat = 0;
    for (int a = 0; a < conv_axes; ++a) {
        const std::int64_t scaled = fine.axis[a] + g.padding[a] - g.dilation[a] * t.axis[a];
        if (scaled < 0 || scaled % g.stride[a] != 0 || scaled / g.stride[a] >= g.coarse[a])
            return -1;
        flat = flat * g.coarse[a] + scaled / g.stride[a];
    }
    return flat;
}

float activated(float x, float slope) {
    if (!(x < 0.0f)) return x;
    return slope == 0.0f ? 0.0f : slope * x;
}

void coarse_from_fine(const ConvGeometry& g, const float* fine, const float* weight,
                      const ConvEpilogue& epilogue, float* coarse) {
    const std::int64_t fine_all = g.groups * g.fine_channels;
    const std::int64_t coarse_all = g.groups * g.coarse_channels;
    parallel_for(g.batch * g.coarse_pixels(), [&](std::int64_t at) {
        const std::int64_t image = at / g.coarse_pixels();
        const Index pixel = unravel(at % g.coarse_pixels(), g.coarse);
        for (std::int64_t k = 0; k < coarse_all; ++k) {
            const std::int64_t group = k / g.coarse_channels, in_group = k % g.coarse_channels;
            float sum = epilogue.bias ? epilogue.bias[k] : 0.0f;
            for (std::int64_t tap = 0; tap < g.taps(); ++tap) {
                const std::int64_t source = fine_pixel(g, pixel, tap);
                if (source < 0) continue;
                const float* x =
                    fine + (image * g.fine_pixels() + source) * fine_all + group * g.fine_channels;
                for (std::int64_t c = 0; c < g.fine_channels; ++c)
                    sum += x[c] * weight[g.weight_index(group, in_group, c, tap)];
            }
            coarse[at * coarse_all + k] = activated(sum, epilogue.slope);
        }
    });
}

void fine_from_coarse(const ConvGeometry& g, const float* coarse, const float* weight,
                      const ConvEpilogue& epilogue, float* fine) {
    const std::int64_t fine_all = g.groups * g.fine_channels;
    const std::int64_t coarse_all = g.groups * g.coarse_channels;
    parallel_for(g.batch * g.fine_pixels(), [&](std::int64_t at) {
        const std::int64_t image = at / g.fine_pixels();
        const Index pixel = unravel(at % g.fine_pixels(), g.fine);
        for (std::int64_t c = 0; c < fine_all; ++c) {
            const std::int64_t group = c / g.fine_channels, in_group = c % g.fine_channels;
            float sum = epilogue.bias ? epilogue.bias[c] : 0.0f;
            for (std::int64_t tap = 0; tap < g.taps(); ++tap) {
                const std::int64_t source = coarse_pixel(g, pixel, tap);
                if (source < 0) continue;
                const float* y = coarse + (image * g.coarse_pixels() + source) * coarse_all +
                                 group * g.coarse_channels;
                for (std::int64_t k = 0; k < g.coarse_channels; ++k)
                    sum += y[k] * weight[g.weight_index(group, k, in_group, tap)];
            }
            fine[at * fine_all + c] = activated(sum, epilogue.slope);
        }
    });
}

void weight_gradient(const ConvGeometry& g, const float* fine, const float* coarse,
                     float* grad_weight) {
    const std::int64_t fine_all = g.groups * g.fine_channels;
    const std::int64_t coarse_all = g.groups * g.coarse_channels;
    parallel_for(coarse_all * g.taps() * g.fine_channels, [&](std::int64_t at) {
        const std::int64_t k = at / (g.taps() * g.fine_channels);
        const std::int64_t tap = at / g.fine_channels % g.taps(), c = at % g.fine_channels;
        const std::int64_t group = k / g.coarse_channels, pixels = g.coarse_pixels();
        double sum = 0.0;
        for (std::int64_t p = 0; p < g.batch * pixels; ++p) {
            const std::int64_t source = fine_pixel(g, unravel(p % pixels, g.coarse), tap);
            if (source < 0) continue;
            const float* x = fine + (p / pixels * g.fine_pixels() + source) * fine_all;
            sum += static_cast<double>(x[group * g.fine_channels + c]) * coarse[p * coarse_all + k];
        }
        grad_weight[g.weight_index(group, k % g.coarse_channels, c, tap)] = static_cast<float>(sum);
    });
}

bool accepts(const ConvGeometry&) { return true; }

}  // namespace

extern const ConvAlgorithm conv_naive = {"naive",          accepts,          accepts,
                                         coarse_from_fine, fine_from_coarse, weight_gradient};

}  // namespace voxelgrad

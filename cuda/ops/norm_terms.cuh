// What the norms compute of single packs. Sums are formed in float inside a segment and in double
// beyond.
#pragma once

#include "cuda/core/divisor.hpp"
#include "cuda/ops/activation_functions.cuh"
#include "cuda/ops/norm_columns.cuh"
#include "ops/norm_problem.hpp"

namespace voxelgrad::cuda {

// Decided at run time: these passes wait for memory.
__device__ inline float activated(const NormAffine& affine, float pre) {
    if (affine.activation == NormActivation::relu)
        return activation_value<Activation::relu>(pre, affine.alpha);
    if (affine.activation == NormActivation::leaky_relu)
        return activation_value<Activation::leaky_relu>(pre, affine.alpha);
    return pre;
}

__device__ inline float through_activation(const NormAffine& affine, float grad, float pre) {
    if (affine.activation == NormActivation::relu)
        return grad * activation_slope<Activation::relu>(pre, affine.alpha);
    if (affine.activation == NormActivation::leaky_relu)
        return grad * activation_slope<Activation::leaky_relu>(pre, affine.alpha);
    return grad;
}

// Means and the like, one for each group of channels of each sample: (samples, groups). by_row: a
// row is a sample and has one group.
struct GroupValues {
    const float *mean, *invstd;
    std::int64_t groups;
    WideDivisor group_channels;

    template <bool by_row>
    __device__ std::int64_t at(std::int64_t sample, std::int64_t row, std::int64_t channel) const {
        return by_row ? row : sample * groups + group_channels.split(channel).quotient;
    }
};

// What a thread knows of its channels.
template <int width>
struct NormFactors {
    float mean[width], invstd[width], weight[width], bias[width];

    // Of neighbouring channels; weight and bias lie where packs can be loaded.
    __device__ void set_affine(const NormAffine& affine, std::int64_t channel) {
        Pack<float, width> scale, shift;
        VOXELGRAD_UNROLL
        for (int i = 0; i < width; ++i) {
            scale.value[i] = 1.0f;
            shift.value[i] = 0.0f;
        }
        if (affine.weight) scale = load_pack<width>(affine.weight + channel);
        if (affine.bias) shift = load_pack<width>(affine.bias + channel);
        VOXELGRAD_UNROLL
        for (int i = 0; i < width; ++i) {
            weight[i] = scale.value[i];
            bias[i] = shift.value[i];
        }
    }
    // What the activation gets. One function, so that every pass sees the same sign.
    __device__ float before_activation(int i, float centred) const {
        return fmaf(centred, invstd[i] * weight[i], bias[i]);
    }
};

// Loads the factors of packs: those of the channels once, the statistics of rows with each row.
template <bool by_row>
struct FactorSource {
    NormAffine affine;
    GroupValues values;

    template <int width>
    __device__ NormFactors<width> begin(const NormPart& part) const {
        NormFactors<width> factors{};
        factors.set_affine(affine, part.channel);
        if constexpr (!by_row) {
            VOXELGRAD_UNROLL
            for (int i = 0; i < width; ++i) {
                const std::int64_t at = values.template at<false>(part.outer, 0, part.channel + i);
                factors.mean[i] = values.mean[at];
                factors.invstd[i] = values.invstd[at];
            }
        }
        return factors;
    }
    template <int width>
    __device__ NormFactors<width> of_row(NormFactors<width> factors, std::int64_t row) const {
        if constexpr (by_row) {
            VOXELGRAD_UNROLL
            for (int i = 0; i < width; ++i) {
                factors.mean[i] = values.mean[row];
                factors.invstd[i] = values.invstd[row];
            }
        }
        return factors;
    }
};

// Sums of d and d * d, d the distance from a centre close to the mean, so that values far from zero
// lose nothing. The centres, (outer, channels), are means of rows spread over the sample.
template <class T>
struct MomentTerms {
    const T* source[1];  // x
    float* centres;

    template <int width>
    struct State {
        float centre[width];
    };

    template <int width>
    __device__ State<width> begin(const NormColumns& all, const NormPart& part) const {
        constexpr int sampled = 8;
        State<width> state{};
        for (int k = 0; k < sampled; ++k) {
            const std::int64_t row = part.outer * all.rows + k * all.rows / sampled;
            const auto pack = load_pack<width>(source[0] + row * all.channels + part.channel);
            VOXELGRAD_UNROLL
            for (int i = 0; i < width; ++i)
                state.centre[i] += to_float(pack.value[i]) * (1.0f / sampled);
        }
        if (part.segment == 0 && part.row == 0) {
            VOXELGRAD_UNROLL
            for (int i = 0; i < width; ++i)
                centres[part.outer * all.channels + part.channel + i] = state.centre[i];
        }
        return state;
    }
    template <int width>
    __device__ void add(const State<width>& state, std::int64_t, const Pack<T, width> (&packs)[1],
                        float (&sum)[width], float (&square)[width]) const {
        VOXELGRAD_UNROLL
        for (int i = 0; i < width; ++i) {
            const float d = to_float(packs[0].value[i]) - state.centre[i];
            sum[i] += d;
            square[i] = fmaf(d, d, square[i]);
        }
    }
};

// With g = the gradient of what the activation gets: sums of g and of g * (x - mean); by_row, of
// g * (x - mean) * invstd.
template <class T, bool by_row>
struct GradientTerms {
    const T* source[2];  // grad, x
    FactorSource<by_row> factors_of;

    template <int width>
    __device__ NormFactors<width> begin(const NormColumns&, const NormPart& part) const {
        return factors_of.template begin<width>(part);
    }
    template <int width>
    __device__ void add(const NormFactors<width>& channels, std::int64_t row,
                        const Pack<T, width> (&packs)[2], float (&sum)[width],
                        float (&product)[width]) const {
        const NormFactors<width> factors = factors_of.of_row(channels, row);
        VOXELGRAD_UNROLL
        for (int i = 0; i < width; ++i) {
            const float centred = to_float(packs[1].value[i]) - factors.mean[i];
            const float g = through_activation(factors_of.affine, to_float(packs[0].value[i]),
                                               factors.before_activation(i, centred));
            sum[i] += g;
            product[i] = fmaf(g, by_row ? centred * factors.invstd[i] : centred, product[i]);
        }
    }
};

// y = activation((x - mean) * invstd * weight + bias). y may be x.
template <int width, class T>
__global__ void __launch_bounds__(block_threads)
    normalise_kernel(NormColumns all, FactorSource<false> source, const T* x, T* y) {
    // The last block first: what an earlier pass has read last is still in the cache.
    const NormPart part(all, gridDim.x - 1 - blockIdx.x);
    if (!part.exists) return;
    const NormFactors<width> factors = source.template begin<width>(part);
    for_rows<width>(all, part, {x}, [&](std::int64_t, std::int64_t at, const auto& packs) {
        float result[width];
        VOXELGRAD_UNROLL
        for (int i = 0; i < width; ++i) {
            const float centred = to_float(packs[0].value[i]) - factors.mean[i];
            result[i] = activated(source.affine, factors.before_activation(i, centred));
        }
        store_rounded(result, y + at);
    });
}

// result = g * invstd * weight + (x - mean) * slope + offset; slopes and offsets are those of the
// groups, null without a gradient through the statistics. result may be grad.
template <int width, class T>
__global__ void __launch_bounds__(block_threads)
    input_gradient_kernel(NormColumns all, FactorSource<false> source, const T* grad, const T* x,
                          const float* slopes, const float* offsets, T* result) {
    const NormPart part(all, gridDim.x - 1 - blockIdx.x);
    if (!part.exists) return;
    const NormFactors<width> factors = source.template begin<width>(part);
    float slope[width] = {}, offset[width] = {};
    if (slopes) {
        VOXELGRAD_UNROLL
        for (int i = 0; i < width; ++i) {
            const std::int64_t group =
                source.values.template at<false>(part.outer, 0, part.channel + i);
            slope[i] = slopes[group];
            offset[i] = offsets[group];
        }
    }
    for_rows<width>(all, part, {grad, x}, [&](std::int64_t, std::int64_t at, const auto& packs) {
        float values[width];
        VOXELGRAD_UNROLL
        for (int i = 0; i < width; ++i) {
            const float centred = to_float(packs[1].value[i]) - factors.mean[i];
            const float g = through_activation(source.affine, to_float(packs[0].value[i]),
                                               factors.before_activation(i, centred));
            values[i] = g * factors.invstd[i] * factors.weight[i];
            if (slopes) values[i] += fmaf(centred, slope[i], offset[i]);
        }
        store_rounded(values, result + at);
    });
}

}  // namespace voxelgrad::cuda

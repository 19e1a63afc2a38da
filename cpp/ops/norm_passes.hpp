// The passes over memory that the norms are made of.
//
// Large samples are cut into chunks, small ones are handled many at a time; a pass over a sample
// that fits the cache finds it there. Every cut depends on the shape alone, and chunks are added in
// order.
#pragma once

#include <cstdint>

namespace voxelgrad {

// (samples, rows, channels), the channels in groups of equal size. Batch norm is the problem with
// one sample and as many groups as channels.
struct NormProblem {
    std::int64_t samples, rows, channels, groups;

    std::int64_t sample_size() const { return rows * channels; }
    std::int64_t group_channels() const { return channels / groups; }
    double group_size() const { return static_cast<double>(rows * group_channels()); }
};

// (channels,) each; null counts as 1 and 0.
struct NormAffine {
    const float *weight, *bias;

    float scale(std::int64_t c) const { return weight ? weight[c] : 1.0f; }
    float shift(std::int64_t c) const { return bias ? bias[c] : 0.0f; }
};

// Those that are null are not computed.
struct NormGradients {
    float *input, *weight, *bias;
};

// Writes mean and invstd, both (samples, groups), and y = (x - mean) * invstd * weight + bias.
void norm_forward(const NormProblem& problem, const float* x, NormAffine affine, float* y,
                  float* mean, float* invstd, double eps);

// y = (x - mean) * invstd * weight + bias of a problem with one sample.
void norm_apply(const NormProblem& problem, const float* x, NormAffine affine, const float* mean,
                const float* invstd, float* y);

// The gradients through the statistics too.
void norm_backward(const NormProblem& problem, const float* grad, const float* x, NormAffine affine,
                   const float* mean, const float* invstd, NormGradients gradients);

}  // namespace voxelgrad

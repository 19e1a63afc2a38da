// The passes over memory that the norms are made of.
//
// Large samples are cut into chunks, small ones are handled many at a time; a pass over a sample
// that fits the cache finds it there. Every cut depends on the shape alone, and chunks are added in
// order.
#pragma once

#include <cstdint>

#include "kernels/norm.hpp"

namespace voxelgrad {

// (samples, rows, channels), the channels in groups of equal size. Batch norm is the problem with
// one sample and as many groups as channels.
struct NormProblem {
    std::int64_t samples, rows, channels, groups;

    std::int64_t sample_size() const { return rows * channels; }
    std::int64_t size() const { return samples * sample_size(); }
    std::int64_t group_channels() const { return channels / groups; }
    double group_size() const { return static_cast<double>(rows * group_channels()); }
};

// What follows the normalisation. (channels,) each; null counts as 1 and 0.
struct NormAffine {
    const float *weight, *bias;
    NormActivation activation = NormActivation::identity;
    float alpha = 0.0f;  // slope of leaky_relu

    float scale(std::int64_t c) const { return weight ? weight[c] : 1.0f; }
    float shift(std::int64_t c) const { return bias ? bias[c] : 0.0f; }
};

// Those that are null are not computed.
template <class T>
struct NormGradients {
    T* input;
    float *weight, *bias;
};

// Writes mean and invstd, both (samples, groups), and
// y = activation((x - mean) * invstd * weight + bias). T: float or bf16.
template <class T>
void norm_forward(const NormProblem& problem, const T* x, NormAffine affine, T* y, float* mean,
                  float* invstd, double eps);

// The same y from given statistics, bit for bit.
template <class T>
void norm_apply(const NormProblem& problem, const T* x, NormAffine affine, const float* mean,
                const float* invstd, T* y);

// The gradients, through the statistics too if they were those of x.
template <class T>
void norm_backward(const NormProblem& problem, const T* grad, const T* x, NormAffine affine,
                   const float* mean, const float* invstd, NormGradients<T> gradients,
                   bool through_statistics);

}  // namespace voxelgrad

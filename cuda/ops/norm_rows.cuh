// Statistics of rows and the gradient through them (layer norm): a team of neighbouring threads
// goes over a row, a second time from the cache.
#pragma once

#include "cuda/core/teams.hpp"
#include "cuda/ops/norm_terms.cuh"

namespace voxelgrad::cuda {

constexpr int row_share = 16;  // elements of a row for each member of a team

template <class T>
__global__ void row_statistics_kernel(Teams teams, std::int64_t channels, const T* x, double eps,
                                      float* mean, float* invstd) {
    VOXELGRAD_SHARED(memory, float[block_threads]);
    const bool exists = teams.job() < teams.jobs;
    const T* const row = x + (exists ? teams.job() : 0) * channels;
    const std::int64_t end = exists ? channels : 0;
    const float count = static_cast<float>(channels), first = to_float(row[0]);
    // From the first element on, so that values far from zero lose nothing.
    float sum = 0.0f;
    for (std::int64_t c = teams.member(); c < end; c += teams.size) sum += to_float(row[c]) - first;
    const float centre = first + teams.sum(memory, sum) / count;
    float square = 0.0f;
    for (std::int64_t c = teams.member(); c < end; c += teams.size) {
        const float d = to_float(row[c]) - centre;
        square = fmaf(d, d, square);
    }
    square = teams.sum(memory, square);
    if (!exists || teams.member() != 0) return;
    mean[teams.job()] = centre;
    invstd[teams.job()] = static_cast<float>(1.0 / sqrt(double{square / count} + eps));
}

// Slope and offset as in statistics_gradient_kernel.
template <class T>
__global__ void row_gradient_kernel(Teams teams, std::int64_t channels, NormAffine affine,
                                    const T* grad, const T* x, const float* mean,
                                    const float* invstd, float* slopes, float* offsets) {
    VOXELGRAD_SHARED(memory, float[block_threads]);
    const std::int64_t row = teams.job(), first = row * channels;
    const bool exists = row < teams.jobs;
    const float centre = exists ? mean[row] : 0.0f, inverse = exists ? invstd[row] : 0.0f;
    float sum = 0.0f, product = 0.0f;
    for (std::int64_t c = teams.member(); exists && c < channels; c += teams.size) {
        const float weight = affine.scale(c), centred = to_float(x[first + c]) - centre;
        const float pre = fmaf(centred, inverse * weight, affine.shift(c));
        const float h = through_activation(affine, to_float(grad[first + c]), pre) * weight;
        sum += h;
        product = fmaf(h, centred, product);
    }
    sum = teams.sum(memory, sum);
    product = teams.sum(memory, product);
    if (!exists || teams.member() != 0) return;
    const float share = inverse / static_cast<float>(channels);
    slopes[row] = -share * inverse * inverse * product;
    offsets[row] = -share * sum;
}

template <class T>
void launch_row_statistics(const char* op, Stream stream, const NormProblem& problem, const T* x,
                           double eps, float* mean, float* invstd) {
    const Teams teams(problem.samples, problem.channels, row_share);
    launch(op, stream, teams.grid(), row_statistics_kernel<T>, teams, problem.channels, x, eps,
           mean, invstd);
}

template <class T>
void launch_row_gradient(const char* op, Stream stream, const NormProblem& problem, const T* grad,
                         const T* x, const NormAffine& affine, const float* mean,
                         const float* invstd, float* slopes, float* offsets) {
    const Teams teams(problem.samples, problem.channels, row_share);
    launch(op, stream, teams.grid(), row_gradient_kernel<T>, teams, problem.channels, affine, grad,
           x, mean, invstd, slopes, offsets);
}

}  // namespace voxelgrad::cuda

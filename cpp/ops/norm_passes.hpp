// The passes over memory that the norms are made of.
//
// Large samples are cut into chunks, small ones are handled many at a time; a pass over a sample
// that fits the cache finds it there. Every cut depends on the shape alone, and chunks are added in
// order.
#pragma once

#include <functional>

#include "core/written_chunks.hpp"
#include "kernels/norm.hpp"
#include "ops/norm_problem.hpp"

namespace voxelgrad {

// Writes mean and invstd, both (samples, groups), and
// y = activation((x - mean) * invstd * weight + bias). T: float or bf16.
template <class T>
void norm_forward(const NormProblem& problem, const T* x, NormAffine affine, T* y, float* mean,
                  float* invstd, double eps);

// Writes the whole input and tells of its parts as they are written; null: nobody wants to hear.
using WriteInput = std::function<void(WrittenChunks*)>;

// The same for an input x that is yet to be written: chunks are summed out of the cache as soon as
// they are. Bit for bit what norm_forward gives after `write`.
template <class T>
void norm_forward_of_written(const NormProblem& problem, const T* x, const WriteInput& write,
                             NormAffine affine, T* y, float* mean, float* invstd, double eps);

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

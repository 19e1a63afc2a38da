// Running statistics and the folding of a batch norm into weights; semantics as in
// cpp/ops/norm.hpp. A thread for each channel, and for each weight: all of this is small.
#pragma once

#include "cuda/core/launch.hpp"
#include "ops/norm_problem.hpp"

namespace voxelgrad::cuda {

__device__ inline std::int64_t thread_number() {
    return std::int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
}

template <class Statistic>
__global__ void running_kernel(std::int64_t channels, const float* mean, const float* invstd,
                               Statistic* running_mean, Statistic* running_var, double unbiased,
                               double momentum, double eps) {
    const std::int64_t c = thread_number();
    if (c >= channels) return;
    const double inverse = invstd[c], variance = 1.0 / (inverse * inverse) - eps;
    const double kept = 1.0 - momentum, value = unbiased * (variance < 0.0 ? 0.0 : variance);
    running_mean[c] = static_cast<Statistic>(kept * running_mean[c] + momentum * mean[c]);
    running_var[c] = static_cast<Statistic>(kept * running_var[c] + momentum * value);
}

template <class Statistic>
void batch_norm_update(Stream stream, View<const float> mean, View<const float> invstd,
                       View<Statistic> running_mean, View<Statistic> running_var,
                       std::int64_t count, double momentum, double eps) {
    constexpr const char* op = "batch_norm_update";
    check_statistics(op, mean, invstd, running_mean, running_var);
    check_count(op, count);
    const double unbiased = static_cast<double>(count) / static_cast<double>(count - 1);
    launch(op, stream, threads_for(mean.size()), running_kernel<Statistic>, mean.size(), mean.data,
           invstd.data, running_mean.data, running_var.data, unbiased, momentum, eps);
}

template <class Statistic>
__global__ void given_statistics_kernel(std::int64_t channels, const Statistic* running_mean,
                                        const Statistic* running_var, float* mean, float* invstd,
                                        double eps) {
    const std::int64_t c = thread_number();
    if (c >= channels) return;
    mean[c] = static_cast<float>(running_mean[c]);
    invstd[c] = static_cast<float>(1.0 / sqrt(double{running_var[c]} + eps));
}

template <class Statistic>
void batch_norm_statistics(Stream stream, View<const Statistic> running_mean,
                           View<const Statistic> running_var, View<float> mean, View<float> invstd,
                           double eps) {
    constexpr const char* op = "batch_norm_statistics";
    check_statistics(op, mean, invstd, running_mean, running_var);
    launch(op, stream, threads_for(mean.size()), given_statistics_kernel<Statistic>, mean.size(),
           running_mean.data, running_var.data, mean.data, invstd.data, eps);
}

// The parameters of a batch norm with constant statistics; null where missing.
struct Folded {
    const float *weight, *bias, *mean, *variance;
    double eps;

    __device__ double scale(std::int64_t c) const {
        return (weight ? double{weight[c]} : 1.0) / sqrt(variance[c] + eps);
    }
    __device__ double shift(std::int64_t c, const float* layer_bias) const {
        const double from = (layer_bias ? double{layer_bias[c]} : 0.0) - double{mean[c]};
        return (bias ? double{bias[c]} : 0.0) + from * scale(c);
    }
};

static __global__ void fold_kernel(Folded norm, std::int64_t count, std::int64_t fan_in,
                                   const float* weight, const float* bias, float* folded_weight,
                                   float* folded_bias) {
    const std::int64_t i = thread_number(), c = i / fan_in;
    if (i >= count) return;
    folded_weight[i] = static_cast<float>(weight[i] * norm.scale(c));
    if (i == c * fan_in) folded_bias[c] = static_cast<float>(norm.shift(c, bias));
}

inline void batch_norm_fold(Stream stream, View<const float> weight, OptionalView<const float> bias,
                            OptionalView<const float> norm_weight,
                            OptionalView<const float> norm_bias, View<const float> mean,
                            View<const float> variance, View<float> folded_weight,
                            View<float> folded_bias, double eps) {
    constexpr const char* op = "batch_norm_fold";
    check_fold(op, weight, bias, norm_weight, norm_bias, mean, variance, folded_weight,
               folded_bias);
    const Folded norm{pointer(norm_weight), pointer(norm_bias), mean.data, variance.data, eps};
    launch(op, stream, threads_for(weight.size()), fold_kernel, norm, weight.size(),
           weight.count(1, weight.rank), weight.data, pointer(bias), folded_weight.data,
           folded_bias.data);
}

}  // namespace voxelgrad::cuda

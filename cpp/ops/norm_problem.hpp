// What a norm has to compute, from its arguments, which are checked.
#pragma once

#include <cstdint>
#include <string>

#include "core/check.hpp"
#include "core/kinds.hpp"

namespace voxelgrad {

// (samples, rows, channels), the channels in groups of equal size. Batch norm is the problem with
// one sample and as many groups as channels.
struct NormProblem {
    std::int64_t samples, rows, channels, groups;

    constexpr std::int64_t sample_size() const { return rows * channels; }
    constexpr std::int64_t size() const { return samples * sample_size(); }
    constexpr std::int64_t group_channels() const { return channels / groups; }
    constexpr double group_size() const { return static_cast<double>(rows * group_channels()); }
};

// What follows the normalisation. (channels,) each; null counts as 1 and 0.
struct NormAffine {
    const float *weight, *bias;
    NormActivation activation = NormActivation::identity;
    float alpha = 0.0f;  // slope of leaky_relu

    constexpr float scale(std::int64_t c) const { return weight ? weight[c] : 1.0f; }
    constexpr float shift(std::int64_t c) const { return bias ? bias[c] : 0.0f; }
};

// Those that are null are not computed.
template <class T>
struct NormGradients {
    T* input;
    float *weight, *bias;
};

template <class T>
T* pointer(const OptionalView<T>& view) {
    return view ? view.data : nullptr;
}

template <class T>
void check_channels(const char* op, const char* name, const View<T>& view, std::int64_t channels) {
    check(view.rank == 1 && view[0] == channels, op, ": ", name, ' ', view, " must have shape (",
          channels, ")");
}

inline NormActivation norm_activation_kind(const char* op, const std::string& name) {
    if (name == "identity") return NormActivation::identity;
    if (name == "relu") return NormActivation::relu;
    if (name == "leaky_relu") return NormActivation::leaky_relu;
    fail(op, ": activation '", name, "' must be identity, relu or leaky_relu");
}

inline NormAffine check_affine(const char* op, const OptionalView<const float>& weight,
                               const OptionalView<const float>& bias, std::int64_t channels,
                               const std::string& activation, float alpha) {
    if (weight) check_channels(op, "weight", weight, channels);
    if (bias) check_channels(op, "bias", bias, channels);
    return {pointer(weight), pointer(bias), norm_activation_kind(op, activation), alpha};
}

// Those of a batch are (C,), those of groups (N, G).
template <class T, class Statistic>
NormProblem batch_problem(const char* op, const View<T>& input, const View<Statistic>& mean,
                          const View<Statistic>& invstd) {
    check(input.rank >= 2, op, ": input ", input, " must have at least 2 axes");
    check(input.size() > 0, op, ": input ", input, " must not be empty");
    check_channels(op, "mean", mean, input.last());
    check_channels(op, "invstd", invstd, input.last());
    return {1, input.count(0, input.rank - 1), input.last(), input.last()};
}

template <class T, class Statistic>
NormProblem group_problem(const char* op, const View<T>& input, const View<Statistic>& mean,
                          const View<Statistic>& invstd) {
    check(input.rank >= 2, op, ": input ", input, " must have at least 2 axes");
    check(input.size() > 0, op, ": input ", input, " must not be empty");
    check(mean.rank == 2 && mean[0] == input[0] && mean[1] > 0 && input.last() % mean[1] == 0, op,
          ": mean ", mean, " must have shape (N, G) with G dividing the channels of input ", input);
    check_same_shape(op, "mean", mean, "invstd", invstd);
    return {input[0], input.count(1, input.rank - 1), input.last(), mean[1]};
}

// Problem and affine part of a norm. `images` is what has to have the shape of the input: the
// output, or its gradient.
struct NormArguments {
    NormProblem problem;
    NormAffine affine;
};

template <class T, class Images, class Statistic>
NormArguments batch_arguments(const char* op, const View<T>& input,
                              const OptionalView<const float>& weight,
                              const OptionalView<const float>& bias, const char* name,
                              const View<Images>& images, const View<Statistic>& mean,
                              const View<Statistic>& invstd, const std::string& activation,
                              float alpha) {
    const NormProblem problem = batch_problem(op, input, mean, invstd);
    const NormAffine affine = check_affine(op, weight, bias, input.last(), activation, alpha);
    check_same_shape(op, name, images, "input", input);
    return {problem, affine};
}

template <class T, class Images, class Statistic>
NormArguments group_arguments(const char* op, const View<T>& input,
                              const OptionalView<const float>& weight,
                              const OptionalView<const float>& bias, const char* name,
                              const View<Images>& images, const View<Statistic>& mean,
                              const View<Statistic>& invstd, const std::string& activation,
                              float alpha) {
    const NormProblem problem = group_problem(op, input, mean, invstd);
    const NormAffine affine = check_affine(op, weight, bias, input.last(), activation, alpha);
    check_same_shape(op, name, images, "input", input);
    return {problem, affine};
}

template <class T>
NormGradients<T> gradient_arguments(const char* op, const View<const T>& input,
                                    const OptionalView<T>& grad_input,
                                    const OptionalView<float>& grad_weight,
                                    const OptionalView<float>& grad_bias) {
    if (grad_input) check_same_shape(op, "grad_input", grad_input, "input", input);
    if (grad_weight) check_channels(op, "grad_weight", grad_weight, input.last());
    if (grad_bias) check_channels(op, "grad_bias", grad_bias, input.last());
    return {pointer(grad_input), pointer(grad_weight), pointer(grad_bias)};
}

inline void check_fold(const char* op, const View<const float>& weight,
                       const OptionalView<const float>& bias,
                       const OptionalView<const float>& norm_weight,
                       const OptionalView<const float>& norm_bias, const View<const float>& mean,
                       const View<const float>& variance, const View<float>& folded_weight,
                       const View<float>& folded_bias) {
    check(weight.rank >= 2 && weight.size() > 0, op, ": weight ", weight,
          " must be (out_channels, ...) and not empty");
    const std::int64_t channels = weight[0];
    check_same_shape(op, "weight", weight, "folded_weight", folded_weight);
    if (bias) check_channels(op, "bias", bias, channels);
    if (norm_weight) check_channels(op, "norm_weight", norm_weight, channels);
    if (norm_bias) check_channels(op, "norm_bias", norm_bias, channels);
    check_channels(op, "mean", mean, channels);
    check_channels(op, "variance", variance, channels);
    check_channels(op, "folded_bias", folded_bias, channels);
}

// mean and invstd against running statistics.
template <class Statistics, class Running>
void check_statistics(const char* op, const View<Statistics>& mean, const View<Statistics>& invstd,
                      const View<Running>& running_mean, const View<Running>& running_var) {
    check_same_shape(op, "invstd", invstd, "mean", mean);
    check_same_shape(op, "running_mean", running_mean, "mean", mean);
    check_same_shape(op, "running_var", running_var, "mean", mean);
}

inline void check_count(const char* op, std::int64_t count) {
    check(count > 1, op, ": count is ", count, "; a variance needs at least 2 values");
}

}  // namespace voxelgrad

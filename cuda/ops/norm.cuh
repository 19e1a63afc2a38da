// Batch and group norms; semantics as in cpp/ops/norm.hpp.
//
// A forward pass reads the image twice: for the sums of column_sums_kernel, which a team of threads
// for each group turns into statistics, and for the result. A backward pass reads image and
// gradient twice in the same way. Where a sample is one short row with one group (layer norm), a
// team of threads reads a row once (norm_rows.cuh); gradients of weight and bias are sums over rows
// as everywhere.
#pragma once

#include "cuda/core/workspace.hpp"
#include "cuda/ops/norm_rows.cuh"
#include "cuda/ops/norm_terms.cuh"

namespace voxelgrad::cuda {

// One row a sample and one group: layer norm.
inline bool is_by_row(const NormProblem& problem) {
    return problem.rows == 1 && problem.groups == 1 && problem.channels <= longest_row;
}

inline GroupValues group_values(const NormProblem& problem, const float* mean,
                                const float* invstd) {
    return {mean, invstd, problem.groups, WideDivisor(problem.group_channels())};
}

// From the sums of moments to mean and 1 / sqrt(variance + eps); a team for each group.
static __global__ void statistics_kernel(Teams teams, NormProblem problem, std::int64_t segments,
                                         const float* sums, const float* squares,
                                         const float* centres, double eps, float* mean,
                                         float* invstd) {
    VOXELGRAD_SHARED(memory, double[block_threads]);
    const std::int64_t job = teams.job(), width = problem.group_channels();
    const bool exists = job < teams.jobs;
    double sum = 0.0, square = 0.0;
    if (exists) {
        const std::int64_t first = job * width * segments;
        for (std::int64_t i = teams.member(); i < width * segments; i += teams.size) {
            // From the distances to the values: x = d + centre.
            const double centre = centres[job * width + i / segments];
            const double rows = i % segments == 0 ? static_cast<double>(problem.rows) : 0.0;
            const double d = sums[first + i];
            sum += d + rows * centre;
            square += squares[first + i] + centre * (2.0 * d + rows * centre);
        }
    }
    sum = teams.sum(memory, sum);
    square = teams.sum(memory, square);
    if (!exists || teams.member() != 0) return;
    const double centre = sum / problem.group_size();
    const double variance = square / problem.group_size() - centre * centre;
    mean[job] = static_cast<float>(centre);
    invstd[job] = static_cast<float>(1.0 / sqrt((variance < 0.0 ? 0.0 : variance) + eps));
}

// The gradient through mean and variance of a group: grad_input = invstd * (h - mean(h) -
// xh * mean(h * xh)), h = grad * weight, xh = the normalised x, the means over the group.
static __global__ void statistics_gradient_kernel(Teams teams, NormProblem problem,
                                                  NormAffine affine, std::int64_t segments,
                                                  const float* sums, const float* products,
                                                  const float* invstd, float* slopes,
                                                  float* offsets) {
    VOXELGRAD_SHARED(memory, double[block_threads]);
    const std::int64_t job = teams.job(), width = problem.group_channels();
    const bool exists = job < teams.jobs;
    double sum = 0.0, product = 0.0;
    if (exists) {
        const std::int64_t first = job * width * segments;
        const std::int64_t channel = job % problem.groups * width;
        for (std::int64_t i = teams.member(); i < width * segments; i += teams.size) {
            const double weight = affine.scale(channel + i / segments);
            sum += sums[first + i] * weight;
            product += products[first + i] * weight;
        }
    }
    sum = teams.sum(memory, sum);
    product = teams.sum(memory, product);
    if (!exists || teams.member() != 0) return;
    const double inverse = invstd[job], share = inverse / problem.group_size();
    slopes[job] = static_cast<float>(-share * inverse * inverse * product);
    offsets[job] = static_cast<float>(-share * sum);
}

// The gradients of weight and bias, those that are not null; a team for each channel. `values` has
// the invstd that the products still lack, or null.
static __global__ void affine_gradient_kernel(Teams teams, std::int64_t outer,
                                              std::int64_t segments, const float* sums,
                                              const float* products, GroupValues values,
                                              float* grad_weight, float* grad_bias) {
    VOXELGRAD_SHARED(memory, double[block_threads]);
    const std::int64_t channel = teams.job(), channels = teams.jobs;
    const bool exists = channel < channels;
    double sum = 0.0, product = 0.0;
    if (exists) {
        for (std::int64_t i = teams.member(); i < outer * segments; i += teams.size) {
            const std::int64_t sample = i / segments;
            const std::int64_t at = (sample * channels + channel) * segments + i % segments;
            const std::int64_t group = values.at<false>(sample, 0, channel);
            sum += sums[at];
            product += products[at] * (values.invstd ? double{values.invstd[group]} : 1.0);
        }
    }
    sum = teams.sum(memory, sum);
    product = teams.sum(memory, product);
    if (!exists || teams.member() != 0) return;
    if (grad_weight) grad_weight[channel] = static_cast<float>(product);
    if (grad_bias) grad_bias[channel] = static_cast<float>(sum);
}

// Two sums for every channel of every segment, in memory of their own.
struct ColumnSums {
    NormColumns all;
    Workspace<float> first, second;

    // `full`: packs fit.
    template <int full, class Terms>
    static ColumnSums of(const char* op, Stream stream, std::int64_t outer, std::int64_t rows,
                         std::int64_t channels, bool in_packs, const Terms& terms) {
        const auto all = NormColumns::for_sums(outer, rows, channels, in_packs ? full : 1);
        const std::int64_t count = outer * channels * all.segments;
        ColumnSums sums{all, Workspace<float>(count), Workspace<float>(count)};
        launch(op, stream, all.grid(),
               in_packs ? column_sums_kernel<full, Terms> : column_sums_kernel<1, Terms>, all,
               terms, sums.first.data(), sums.second.data());
        return sums;
    }
};

template <class T>
void norm_apply(const char* op, Stream stream, const NormProblem& problem, const T* x,
                const NormAffine& affine, const float* mean, const float* invstd, T* y) {
    if (is_by_row(problem))
        return row_norm<true>(op, stream, problem, x, affine, y, mean, invstd, 0.0f);
    const bool in_packs = packs_fit<T>(problem.channels, x, y, affine.weight, affine.bias);
    const auto all = NormColumns::for_images(problem.samples, problem.rows, problem.channels,
                                             in_packs ? full_width<T> : 1);
    launch(op, stream, all.grid(),
           in_packs ? normalise_kernel<full_width<T>, T> : normalise_kernel<1, T>, all,
           FactorSource<false>{affine, group_values(problem, mean, invstd)}, x, y);
}

template <class T>
void norm_forward(const char* op, Stream stream, const NormProblem& problem, const T* x,
                  const NormAffine& affine, T* y, float* mean, float* invstd, double eps) {
    if (is_by_row(problem))
        return row_norm<false>(op, stream, problem, x, affine, y, mean, invstd,
                               static_cast<float>(eps));
    const Workspace<float> centres(problem.samples * problem.channels);
    const auto sums = ColumnSums::of<full_width<T>>(
        op, stream, problem.samples, problem.rows, problem.channels,
        packs_fit<T>(problem.channels, x), MomentTerms<T>{{x}, centres.data()});
    const std::int64_t things = problem.group_channels() * sums.all.segments;
    const Teams teams(problem.samples * problem.groups, things, 4);
    launch(op, stream, teams.grid(), statistics_kernel, teams, problem, sums.all.segments,
           sums.first.data(), sums.second.data(), centres.data(), eps, mean, invstd);
    norm_apply(op, stream, problem, x, affine, mean, invstd, y);
}

// Slopes and offsets of the gradient through the statistics: (samples, groups).
struct StatisticsGradient {
    Workspace<float> slopes, offsets;
    explicit StatisticsGradient(std::int64_t count) : slopes(count), offsets(count) {}
};

// The sums over columns, in memory of their own, that gradients of channels or groups need.
template <class T, bool by_row>
ColumnSums gradient_sums(const char* op, Stream stream, const NormProblem& problem, const T* grad,
                         const T* x, const FactorSource<by_row>& source) {
    const std::int64_t outer = by_row ? 1 : problem.samples;
    return ColumnSums::of<full_width<T>>(
        op, stream, outer, problem.samples * problem.rows / outer, problem.channels,
        packs_fit<T>(problem.channels, grad, x, source.affine.weight, source.affine.bias),
        GradientTerms<T, by_row>{{grad, x}, source});
}

// `invstd`: what the products still lack, or null.
template <class T>
void affine_gradient(const char* op, Stream stream, const NormProblem& problem,
                     const ColumnSums& sums, const float* invstd,
                     const NormGradients<T>& gradients) {
    if (!gradients.weight && !gradients.bias) return;
    const Teams teams(problem.channels, sums.all.outer * sums.all.segments, 4);
    launch(op, stream, teams.grid(), affine_gradient_kernel, teams, sums.all.outer,
           sums.all.segments, sums.first.data(), sums.second.data(),
           group_values(problem, nullptr, invstd), gradients.weight, gradients.bias);
}

template <class T>
void layer_norm_backward(const char* op, Stream stream, const NormProblem& problem, const T* grad,
                         const T* x, const NormAffine& affine, const float* mean,
                         const float* invstd, const NormGradients<T>& gradients) {
    if (gradients.weight || gradients.bias) {
        const FactorSource<true> source{affine, group_values(problem, mean, invstd)};
        affine_gradient(op, stream, problem, gradient_sums(op, stream, problem, grad, x, source),
                        nullptr, gradients);
    }
    if (gradients.input)
        row_gradient(op, stream, problem, grad, x, affine, mean, invstd, gradients.input);
}

template <class T>
void norm_backward(const char* op, Stream stream, const NormProblem& problem, const T* grad,
                   const T* x, const NormAffine& affine, const float* mean, const float* invstd,
                   const NormGradients<T>& gradients, bool through_statistics) {
    if (through_statistics && is_by_row(problem))
        return layer_norm_backward(op, stream, problem, grad, x, affine, mean, invstd, gradients);
    const FactorSource<false> source{affine, group_values(problem, mean, invstd)};
    const bool through = through_statistics && gradients.input;
    const std::int64_t groups = problem.samples * problem.groups, channels = problem.channels;
    const StatisticsGradient statistics(through ? groups : 0);
    if (through || gradients.weight || gradients.bias) {
        const ColumnSums sums = gradient_sums(op, stream, problem, grad, x, source);
        const std::int64_t segments = sums.all.segments;
        const Teams teams(groups, problem.group_channels() * segments, 4);
        if (through)
            launch(op, stream, teams.grid(), statistics_gradient_kernel, teams, problem, affine,
                   segments, sums.first.data(), sums.second.data(), invstd,
                   statistics.slopes.data(), statistics.offsets.data());
        affine_gradient(op, stream, problem, sums, invstd, gradients);
    }
    if (!gradients.input) return;
    const bool in_packs =
        packs_fit<T>(channels, grad, x, gradients.input, affine.weight, affine.bias);
    const auto all = NormColumns::for_images(problem.samples, problem.rows, channels,
                                             in_packs ? full_width<T> : 1);
    launch(op, stream, all.grid(),
           in_packs ? input_gradient_kernel<full_width<T>, T> : input_gradient_kernel<1, T>, all,
           source, grad, x, statistics.slopes.data(), statistics.offsets.data(), gradients.input);
}

template <class T>
void batch_norm_forward(Stream stream, View<const T> input, OptionalView<const float> weight,
                        OptionalView<const float> bias, View<T> output, View<float> mean,
                        View<float> invstd, double eps, const std::string& activation,
                        float alpha) {
    constexpr const char* op = "batch_norm_forward";
    const auto [problem, affine] =
        batch_arguments(op, input, weight, bias, "output", output, mean, invstd, activation, alpha);
    norm_forward(op, stream, problem, input.data, affine, output.data, mean.data, invstd.data, eps);
}

template <class T>
void batch_norm_apply(Stream stream, View<const T> input, OptionalView<const float> weight,
                      OptionalView<const float> bias, View<const float> mean,
                      View<const float> invstd, View<T> output, const std::string& activation,
                      float alpha) {
    constexpr const char* op = "batch_norm_apply";
    const auto [problem, affine] =
        batch_arguments(op, input, weight, bias, "output", output, mean, invstd, activation, alpha);
    norm_apply(op, stream, problem, input.data, affine, mean.data, invstd.data, output.data);
}

template <class T>
void batch_norm_backward(Stream stream, View<const T> grad_output, View<const T> input,
                         OptionalView<const float> weight, OptionalView<const float> bias,
                         View<const float> mean, View<const float> invstd,
                         OptionalView<T> grad_input, OptionalView<float> grad_weight,
                         OptionalView<float> grad_bias, bool training,
                         const std::string& activation, float alpha) {
    constexpr const char* op = "batch_norm_backward";
    const auto [problem, affine] = batch_arguments(op, input, weight, bias, "grad_output",
                                                   grad_output, mean, invstd, activation, alpha);
    const auto gradients = gradient_arguments(op, input, grad_input, grad_weight, grad_bias);
    norm_backward(op, stream, problem, grad_output.data, input.data, affine, mean.data, invstd.data,
                  gradients, training);
}

template <class T>
void group_norm_forward(Stream stream, View<const T> input, OptionalView<const float> weight,
                        OptionalView<const float> bias, View<T> output, View<float> mean,
                        View<float> invstd, double eps, const std::string& activation,
                        float alpha) {
    constexpr const char* op = "group_norm_forward";
    const auto [problem, affine] =
        group_arguments(op, input, weight, bias, "output", output, mean, invstd, activation, alpha);
    norm_forward(op, stream, problem, input.data, affine, output.data, mean.data, invstd.data, eps);
}

template <class T>
void group_norm_apply(Stream stream, View<const T> input, OptionalView<const float> weight,
                      OptionalView<const float> bias, View<const float> mean,
                      View<const float> invstd, View<T> output, const std::string& activation,
                      float alpha) {
    constexpr const char* op = "group_norm_apply";
    const auto [problem, affine] =
        group_arguments(op, input, weight, bias, "output", output, mean, invstd, activation, alpha);
    norm_apply(op, stream, problem, input.data, affine, mean.data, invstd.data, output.data);
}

template <class T>
void group_norm_backward(Stream stream, View<const T> grad_output, View<const T> input,
                         OptionalView<const float> weight, OptionalView<const float> bias,
                         View<const float> mean, View<const float> invstd,
                         OptionalView<T> grad_input, OptionalView<float> grad_weight,
                         OptionalView<float> grad_bias, const std::string& activation,
                         float alpha) {
    constexpr const char* op = "group_norm_backward";
    const auto [problem, affine] = group_arguments(op, input, weight, bias, "grad_output",
                                                   grad_output, mean, invstd, activation, alpha);
    const auto gradients = gradient_arguments(op, input, grad_input, grad_weight, grad_bias);
    norm_backward(op, stream, problem, grad_output.data, input.data, affine, mean.data, invstd.data,
                  gradients, true);
}

}  // namespace voxelgrad::cuda

#include "ops/norm.hpp"

#include <algorithm>

#include "core/check.hpp"
#include "core/pool.hpp"
#include "ops/norm_passes.hpp"

namespace voxelgrad {
namespace {

using std::int64_t;

template <class T>
T* pointer(const OptionalView<T>& view) {
    return view ? view.data : nullptr;
}

template <class T>
void check_channels(const char* op, const char* name, const View<T>& view, int64_t channels) {
    check(view.rank == 1 && view[0] == channels, op, ": ", name, ' ', view, " must have shape (",
          channels, ")");
}

void check_affine(const char* op, const OptionalView<const float>& weight,
                  const OptionalView<const float>& bias, int64_t channels) {
    if (weight) check_channels(op, "weight", weight, channels);
    if (bias) check_channels(op, "bias", bias, channels);
}

template <class T>
NormProblem batch_problem(const char* op, const View<const float>& input, const View<T>& mean,
                          const View<T>& invstd) {
    check(input.rank >= 2, op, ": input ", input, " must have at least 2 axes");
    check(input.size() > 0, op, ": input ", input, " must not be empty");
    check_channels(op, "mean", mean, input.last());
    check_channels(op, "invstd", invstd, input.last());
    return {1, input.count(0, input.rank - 1), input.last(), input.last()};
}

template <class T>
NormProblem group_problem(const char* op, const View<const float>& input, const View<T>& mean,
                          const View<T>& invstd) {
    check(input.rank >= 2, op, ": input ", input, " must have at least 2 axes");
    check(input.size() > 0, op, ": input ", input, " must not be empty");
    check(mean.rank == 2 && mean[0] == input[0] && mean[1] > 0 && input.last() % mean[1] == 0, op,
          ": mean ", mean, " must have shape (N, G) with G dividing the channels of input ", input);
    check_same_shape(op, "mean", mean, "invstd", invstd);
    return {input[0], input.count(1, input.rank - 1), input.last(), mean[1]};
}

NormGradients check_gradients(const char* op, const View<const float>& input,
                              const OptionalView<float>& grad_input,
                              const OptionalView<float>& grad_weight,
                              const OptionalView<float>& grad_bias) {
    if (grad_input) check_same_shape(op, "grad_input", grad_input, "input", input);
    if (grad_weight) check_channels(op, "grad_weight", grad_weight, input.last());
    if (grad_bias) check_channels(op, "grad_bias", grad_bias, input.last());
    return {pointer(grad_input), pointer(grad_weight), pointer(grad_bias)};
}

}  // namespace

void batch_norm_forward(View<const float> input, OptionalView<const float> weight,
                        OptionalView<const float> bias, View<float> output, View<float> mean,
                        View<float> invstd, double eps) {
    constexpr const char* op = "batch_norm_forward";
    const NormProblem problem = batch_problem(op, input, mean, invstd);
    check_affine(op, weight, bias, input.last());
    check_same_shape(op, "input", input, "output", output);
    norm_forward(problem, input.data, {pointer(weight), pointer(bias)}, output.data, mean.data,
                 invstd.data, eps);
}

void batch_norm_apply(View<const float> input, OptionalView<const float> weight,
                      OptionalView<const float> bias, View<const float> mean,
                      View<const float> invstd, View<float> output) {
    constexpr const char* op = "batch_norm_apply";
    const NormProblem problem = batch_problem(op, input, mean, invstd);
    check_affine(op, weight, bias, input.last());
    check_same_shape(op, "input", input, "output", output);
    norm_apply(problem, input.data, {pointer(weight), pointer(bias)}, mean.data, invstd.data,
               output.data);
}

void batch_norm_backward(View<const float> grad_output, View<const float> input,
                         OptionalView<const float> weight, View<const float> mean,
                         View<const float> invstd, OptionalView<float> grad_input,
                         OptionalView<float> grad_weight, OptionalView<float> grad_bias,
                         bool training) {
    constexpr const char* op = "batch_norm_backward";
    const NormProblem problem = batch_problem(op, input, mean, invstd);
    check_same_shape(op, "grad_output", grad_output, "input", input);
    check_affine(op, weight, {}, input.last());
    const NormGradients gradients = check_gradients(op, input, grad_input, grad_weight, grad_bias);
    const NormAffine affine{pointer(weight), nullptr};
    const bool constant_statistics = !training && grad_input;
    if (training || grad_weight || grad_bias)
        norm_backward(
            problem, grad_output.data, input.data, affine, mean.data, invstd.data,
            {constant_statistics ? nullptr : gradients.input, gradients.weight, gradients.bias});
    if (!constant_statistics) return;
    Workspace<float> zero(problem.channels);
    std::fill(zero.data(), zero.data() + problem.channels, 0.0f);
    norm_apply(problem, grad_output.data, affine, zero.data(), invstd.data, grad_input.data);
}

void group_norm_forward(View<const float> input, OptionalView<const float> weight,
                        OptionalView<const float> bias, View<float> output, View<float> mean,
                        View<float> invstd, double eps) {
    constexpr const char* op = "group_norm_forward";
    const NormProblem problem = group_problem(op, input, mean, invstd);
    check_affine(op, weight, bias, input.last());
    check_same_shape(op, "input", input, "output", output);
    norm_forward(problem, input.data, {pointer(weight), pointer(bias)}, output.data, mean.data,
                 invstd.data, eps);
}

void group_norm_backward(View<const float> grad_output, View<const float> input,
                         OptionalView<const float> weight, View<const float> mean,
                         View<const float> invstd, OptionalView<float> grad_input,
                         OptionalView<float> grad_weight, OptionalView<float> grad_bias) {
    constexpr const char* op = "group_norm_backward";
    const NormProblem problem = group_problem(op, input, mean, invstd);
    check_same_shape(op, "grad_output", grad_output, "input", input);
    check_affine(op, weight, {}, input.last());
    const NormGradients gradients = check_gradients(op, input, grad_input, grad_weight, grad_bias);
    norm_backward(problem, grad_output.data, input.data, {pointer(weight), nullptr}, mean.data,
                  invstd.data, gradients);
}

}  // namespace voxelgrad

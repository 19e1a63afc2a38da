#include "ops/norm.hpp"

#include "core/check.hpp"
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

NormActivation kind_of(const char* op, const std::string& name) {
    if (name == "identity") return NormActivation::identity;
    if (name == "relu") return NormActivation::relu;
    if (name == "leaky_relu") return NormActivation::leaky_relu;
    fail(op, ": activation '", name, "' must be identity, relu or leaky_relu");
}

NormAffine check_affine(const char* op, const OptionalView<const float>& weight,
                        const OptionalView<const float>& bias, int64_t channels,
                        const std::string& activation, float alpha) {
    if (weight) check_channels(op, "weight", weight, channels);
    if (bias) check_channels(op, "bias", bias, channels);
    return {pointer(weight), pointer(bias), kind_of(op, activation), alpha};
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

template <class T>
NormGradients<T> check_gradients(const char* op, const View<const T>& input,
                                 const View<const T>& grad_output,
                                 const OptionalView<T>& grad_input,
                                 const OptionalView<float>& grad_weight,
                                 const OptionalView<float>& grad_bias) {
    check_same_shape(op, "grad_output", grad_output, "input", input);
    if (grad_input) check_same_shape(op, "grad_input", grad_input, "input", input);
    if (grad_weight) check_channels(op, "grad_weight", grad_weight, input.last());
    if (grad_bias) check_channels(op, "grad_bias", grad_bias, input.last());
    return {pointer(grad_input), pointer(grad_weight), pointer(grad_bias)};
}

}  // namespace

template <class T>
void batch_norm_forward(View<const T> input, OptionalView<const float> weight,
                        OptionalView<const float> bias, View<T> output, View<float> mean,
                        View<float> invstd, double eps, const std::string& activation,
                        float alpha) {
    constexpr const char* op = "batch_norm_forward";
    const NormProblem problem = batch_problem(op, input, mean, invstd);
    const NormAffine affine = check_affine(op, weight, bias, input.last(), activation, alpha);
    check_same_shape(op, "input", input, "output", output);
    norm_forward(problem, input.data, affine, output.data, mean.data, invstd.data, eps);
}

template <class T>
void batch_norm_apply(View<const T> input, OptionalView<const float> weight,
                      OptionalView<const float> bias, View<const float> mean,
                      View<const float> invstd, View<T> output, const std::string& activation,
                      float alpha) {
    constexpr const char* op = "batch_norm_apply";
    const NormProblem problem = batch_problem(op, input, mean, invstd);
    const NormAffine affine = check_affine(op, weight, bias, input.last(), activation, alpha);
    check_same_shape(op, "input", input, "output", output);
    norm_apply(problem, input.data, affine, mean.data, invstd.data, output.data);
}

template <class T>
void batch_norm_backward(View<const T> grad_output, View<const T> input,
                         OptionalView<const float> weight, OptionalView<const float> bias,
                         View<const float> mean, View<const float> invstd,
                         OptionalView<T> grad_input, OptionalView<float> grad_weight,
                         OptionalView<float> grad_bias, bool training,
                         const std::string& activation, float alpha) {
    constexpr const char* op = "batch_norm_backward";
    const NormProblem problem = batch_problem(op, input, mean, invstd);
    const NormAffine affine = check_affine(op, weight, bias, input.last(), activation, alpha);
    const auto gradients =
        check_gradients(op, input, grad_output, grad_input, grad_weight, grad_bias);
    norm_backward(problem, grad_output.data, input.data, affine, mean.data, invstd.data, gradients,
                  training);
}

template <class T>
void group_norm_forward(View<const T> input, OptionalView<const float> weight,
                        OptionalView<const float> bias, View<T> output, View<float> mean,
                        View<float> invstd, double eps, const std::string& activation,
                        float alpha) {
    constexpr const char* op = "group_norm_forward";
    const NormProblem problem = group_problem(op, input, mean, invstd);
    const NormAffine affine = check_affine(op, weight, bias, input.last(), activation, alpha);
    check_same_shape(op, "input", input, "output", output);
    norm_forward(problem, input.data, affine, output.data, mean.data, invstd.data, eps);
}

template <class T>
void group_norm_apply(View<const T> input, OptionalView<const float> weight,
                      OptionalView<const float> bias, View<const float> mean,
                      View<const float> invstd, View<T> output, const std::string& activation,
                      float alpha) {
    constexpr const char* op = "group_norm_apply";
    const NormProblem problem = group_problem(op, input, mean, invstd);
    const NormAffine affine = check_affine(op, weight, bias, input.last(), activation, alpha);
    check_same_shape(op, "input", input, "output", output);
    norm_apply(problem, input.data, affine, mean.data, invstd.data, output.data);
}

template <class T>
void group_norm_backward(View<const T> grad_output, View<const T> input,
                         OptionalView<const float> weight, OptionalView<const float> bias,
                         View<const float> mean, View<const float> invstd,
                         OptionalView<T> grad_input, OptionalView<float> grad_weight,
                         OptionalView<float> grad_bias, const std::string& activation,
                         float alpha) {
    constexpr const char* op = "group_norm_backward";
    const NormProblem problem = group_problem(op, input, mean, invstd);
    const NormAffine affine = check_affine(op, weight, bias, input.last(), activation, alpha);
    const auto gradients =
        check_gradients(op, input, grad_output, grad_input, grad_weight, grad_bias);
    norm_backward(problem, grad_output.data, input.data, affine, mean.data, invstd.data, gradients,
                  true);
}

#define VOXELGRAD_NORMS(T)                                                                         \
    template void batch_norm_forward(View<const T>, OptionalView<const float>,                     \
                                     OptionalView<const float>, View<T>, View<float>, View<float>, \
                                     double, const std::string&, float);                           \
    template void batch_norm_apply(View<const T>, OptionalView<const float>,                       \
                                   OptionalView<const float>, View<const float>,                   \
                                   View<const float>, View<T>, const std::string&, float);         \
    template void batch_norm_backward(View<const T>, View<const T>, OptionalView<const float>,     \
                                      OptionalView<const float>, View<const float>,                \
                                      View<const float>, OptionalView<T>, OptionalView<float>,     \
                                      OptionalView<float>, bool, const std::string&, float);       \
    template void group_norm_forward(View<const T>, OptionalView<const float>,                     \
                                     OptionalView<const float>, View<T>, View<float>, View<float>, \
                                     double, const std::string&, float);                           \
    template void group_norm_apply(View<const T>, OptionalView<const float>,                       \
                                   OptionalView<const float>, View<const float>,                   \
                                   View<const float>, View<T>, const std::string&, float);         \
    template void group_norm_backward(View<const T>, View<const T>, OptionalView<const float>,     \
                                      OptionalView<const float>, View<const float>,                \
                                      View<const float>, OptionalView<T>, OptionalView<float>,     \
                                      OptionalView<float>, const std::string&, float);

VOXELGRAD_NORMS(float)
VOXELGRAD_NORMS(bf16)

}  // namespace voxelgrad

#include "ops/norm.hpp"

#include "ops/norm_passes.hpp"

namespace voxelgrad {

template <class T>
void batch_norm_forward(View<const T> input, OptionalView<const float> weight,
                        OptionalView<const float> bias, View<T> output, View<float> mean,
                        View<float> invstd, double eps, const std::string& activation,
                        float alpha) {
    constexpr const char* op = "batch_norm_forward";
    const auto [problem, affine] =
        batch_arguments(op, input, weight, bias, "output", output, mean, invstd, activation, alpha);
    norm_forward(problem, input.data, affine, output.data, mean.data, invstd.data, eps);
}

template <class T>
void batch_norm_apply(View<const T> input, OptionalView<const float> weight,
                      OptionalView<const float> bias, View<const float> mean,
                      View<const float> invstd, View<T> output, const std::string& activation,
                      float alpha) {
    constexpr const char* op = "batch_norm_apply";
    const auto [problem, affine] =
        batch_arguments(op, input, weight, bias, "output", output, mean, invstd, activation, alpha);
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
    const auto [problem, affine] = batch_arguments(op, input, weight, bias, "grad_output",
                                                   grad_output, mean, invstd, activation, alpha);
    const auto gradients = gradient_arguments(op, input, grad_input, grad_weight, grad_bias);
    norm_backward(problem, grad_output.data, input.data, affine, mean.data, invstd.data, gradients,
                  training);
}

template <class T>
void group_norm_forward(View<const T> input, OptionalView<const float> weight,
                        OptionalView<const float> bias, View<T> output, View<float> mean,
                        View<float> invstd, double eps, const std::string& activation,
                        float alpha) {
    constexpr const char* op = "group_norm_forward";
    const auto [problem, affine] =
        group_arguments(op, input, weight, bias, "output", output, mean, invstd, activation, alpha);
    norm_forward(problem, input.data, affine, output.data, mean.data, invstd.data, eps);
}

template <class T>
void group_norm_apply(View<const T> input, OptionalView<const float> weight,
                      OptionalView<const float> bias, View<const float> mean,
                      View<const float> invstd, View<T> output, const std::string& activation,
                      float alpha) {
    constexpr const char* op = "group_norm_apply";
    const auto [problem, affine] =
        group_arguments(op, input, weight, bias, "output", output, mean, invstd, activation, alpha);
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
    const auto [problem, affine] = group_arguments(op, input, weight, bias, "grad_output",
                                                   grad_output, mean, invstd, activation, alpha);
    const auto gradients = gradient_arguments(op, input, grad_input, grad_weight, grad_bias);
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

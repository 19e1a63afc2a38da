#include "ops/conv_norm.hpp"

#include "ops/conv_joined.hpp"
#include "ops/norm_passes.hpp"

namespace voxelgrad {
namespace {

constexpr const char* op = "conv_norm_forward";

template <class... Arguments>
NormArguments norm_arguments(const std::string& norm, const Arguments&... arguments) {
    constexpr const char* part = "conv_norm_forward, the norm of conv_output";
    if (norm == "batch") return batch_arguments(part, arguments...);
    if (norm == "group") return group_arguments(part, arguments...);
    fail(op, ": norm '", norm, "' must be batch or group");
}

}  // namespace

template <class T>
void conv_norm_forward(const std::vector<View<const T>>& inputs, View<const float> weight,
                       OptionalView<const float> bias, View<T> conv_output, Dims stride,
                       Dims padding, Dims dilation, std::int64_t groups, float slope,
                       const std::string& norm, OptionalView<const float> norm_weight,
                       OptionalView<const float> norm_bias, View<T> output, View<float> mean,
                       View<float> invstd, double eps, const std::string& activation, float alpha) {
    const auto [problem, affine] =
        norm_arguments(norm, conv_output, norm_weight, norm_bias, "output", output, mean, invstd,
                       activation, alpha);
    const auto convolve = [&](WrittenChunks* written) {
        write_conv_joined(op, inputs, weight, bias, conv_output, stride, padding, dilation, groups,
                          slope, written);
    };
    norm_forward_of_written<T>(problem, conv_output.data, convolve, affine, output.data, mean.data,
                               invstd.data, eps);
}

#define VOXELGRAD_CONV_NORM(T)                                                                     \
    template void conv_norm_forward(const std::vector<View<const T>>&, View<const float>,          \
                                    OptionalView<const float>, View<T>, Dims, Dims, Dims,          \
                                    std::int64_t, float, const std::string&,                       \
                                    OptionalView<const float>, OptionalView<const float>, View<T>, \
                                    View<float>, View<float>, double, const std::string&, float);

VOXELGRAD_CONV_NORM(float)
VOXELGRAD_CONV_NORM(bf16)

}  // namespace voxelgrad

#include "ops/activation.hpp"

#include "core/check.hpp"
#include "core/parallel_for.hpp"
#include "core/streaming.hpp"
#include "kernels/activation.hpp"
#include "ops/kind_names.hpp"

namespace voxelgrad {
namespace {

constexpr std::int64_t grain = 1 << 15;  // elements a chunk: at most 128 KiB, stays in L2

}  // namespace

template <class T>
void activation_forward(const std::string& kind, View<const T> input, View<T> output, float alpha) {
    check_same_shape("activation_forward", "input", input, "output", output);
    const Activation function = activation_kind(kind);
    const auto& kernels = activation_kernels<T>();
    const bool past_cache =
        input.data != output.data && worth_streaming(output.data, output.size(), grain);
    parallel_for_ranges(input.size(), grain, [&](std::int64_t begin, std::int64_t end) {
        kernels.forward(function, input.data + begin, output.data + begin, end - begin, alpha,
                        past_cache);
    });
}

template <class T>
void activation_backward(const std::string& kind, View<const T> grad_output, View<const T> saved,
                         View<T> grad_input, float alpha) {
    check_same_shape("activation_backward", "grad_output", grad_output, "saved", saved);
    check_same_shape("activation_backward", "grad_output", grad_output, "grad_input", grad_input);
    const Activation function = activation_kind(kind);
    const auto& kernels = activation_kernels<T>();
    const bool past_cache = grad_output.data != grad_input.data &&
                            worth_streaming(grad_input.data, grad_input.size(), grain);
    parallel_for_ranges(saved.size(), grain, [&](std::int64_t begin, std::int64_t end) {
        kernels.backward(function, grad_output.data + begin, saved.data + begin,
                         grad_input.data + begin, end - begin, alpha, past_cache);
    });
}

template void activation_forward(const std::string&, View<const float>, View<float>, float);
template void activation_forward(const std::string&, View<const bf16>, View<bf16>, float);
template void activation_backward(const std::string&, View<const float>, View<const float>,
                                  View<float>, float);
template void activation_backward(const std::string&, View<const bf16>, View<const bf16>,
                                  View<bf16>, float);

}  // namespace voxelgrad

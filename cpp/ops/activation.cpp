#include "ops/activation.hpp"

#include <iterator>

#include "core/check.hpp"
#include "core/parallel_for.hpp"
#include "kernels/activation.hpp"

namespace voxelgrad {
namespace {

constexpr std::int64_t grain = 1 << 15;  // elements a chunk: 128 KiB, stays in L2

Activation kind_of(const std::string& name) {
    constexpr const char* names[] = {"relu", "leaky_relu", "elu",  "sigmoid", "tanh",  "softplus",
                                     "exp",  "log",        "sqrt", "abs",     "square"};
    for (int i = 0; i < static_cast<int>(std::size(names)); ++i)
        if (name == names[i]) return static_cast<Activation>(i);
    fail("activation: kind '", name, "' is unknown");
}

}  // namespace

void activation_forward(const std::string& kind, View<const float> input, View<float> output,
                        float alpha) {
    check_same_shape("activation_forward", "input", input, "output", output);
    const Activation function = kind_of(kind);
    const auto& kernels = activation_kernels();
    parallel_for_ranges(input.size(), grain, [&](std::int64_t begin, std::int64_t end) {
        kernels.forward(function, input.data + begin, output.data + begin, end - begin, alpha);
    });
}

void activation_backward(const std::string& kind, View<const float> grad_output,
                         View<const float> saved, View<float> grad_input, float alpha) {
    check_same_shape("activation_backward", "grad_output", grad_output, "saved", saved);
    check_same_shape("activation_backward", "grad_output", grad_output, "grad_input", grad_input);
    const Activation function = kind_of(kind);
    const auto& kernels = activation_kernels();
    parallel_for_ranges(saved.size(), grain, [&](std::int64_t begin, std::int64_t end) {
        kernels.backward(function, grad_output.data + begin, saved.data + begin,
                         grad_input.data + begin, end - begin, alpha);
    });
}

}  // namespace voxelgrad

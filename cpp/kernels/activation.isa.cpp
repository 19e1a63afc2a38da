#include "kernels/activation.hpp"

#include "kernels/activation_functions.hpp"

namespace voxelgrad::VOXELGRAD_ISA {
namespace {

template <Activation kind>
void forward_loop(const float* input, float* output, std::int64_t count, float alpha) {
    const Vec a = splat(alpha);
    std::int64_t i = 0;
    for (; i + lanes <= count; i += lanes) store(output + i, value<kind>(load(input + i), a));
    const int rest = static_cast<int>(count - i);
    if (rest) store_first(output + i, value<kind>(load_first(input + i, rest), a), rest);
}

template <Activation kind>
void backward_loop(const float* grad_output, const float* saved, float* grad_input,
                   std::int64_t count, float alpha) {
    const Vec a = splat(alpha);
    std::int64_t i = 0;
    for (; i + lanes <= count; i += lanes)
        store(grad_input + i, load(grad_output + i) * slope<kind>(load(saved + i), a));
    const int rest = static_cast<int>(count - i);
    if (rest == 0) return;
    const Vec g = load_first(grad_output + i, rest), s = load_first(saved + i, rest);
    store_first(grad_input + i, g * slope<kind>(s, a), rest);
}

// Calls function.template operator()<kind>() for the kind that is only known at run time.
template <class Function>
void with_kind(Activation kind, Function function) {
    switch (kind) {
        case Activation::relu: return function.template operator()<Activation::relu>();
        case Activation::leaky_relu: return function.template operator()<Activation::leaky_relu>();
        case Activation::elu: return function.template operator()<Activation::elu>();
        case Activation::sigmoid: return function.template operator()<Activation::sigmoid>();
        case Activation::tanh: return function.template operator()<Activation::tanh>();
        case Activation::softplus: return function.template operator()<Activation::softplus>();
        case Activation::exp: return function.template operator()<Activation::exp>();
        case Activation::log: return function.template operator()<Activation::log>();
        case Activation::sqrt: return function.template operator()<Activation::sqrt>();
        case Activation::abs: return function.template operator()<Activation::abs>();
        case Activation::square: return function.template operator()<Activation::square>();
    }
}

void forward(Activation kind, const float* input, float* output, std::int64_t count, float alpha) {
    with_kind(kind, [=]<Activation k>() { forward_loop<k>(input, output, count, alpha); });
}

void backward(Activation kind, const float* grad_output, const float* saved, float* grad_input,
              std::int64_t count, float alpha) {
    with_kind(kind, [=]<Activation k>() {
        backward_loop<k>(grad_output, saved, grad_input, count, alpha);
    });
}

}  // namespace

extern const ActivationKernels activation = {forward, backward};

}  // namespace voxelgrad::VOXELGRAD_ISA

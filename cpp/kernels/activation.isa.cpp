#include "kernels/activation.hpp"

#include "kernels/activation_functions.hpp"

namespace voxelgrad::VOXELGRAD_ISA {
namespace {

template <Activation kind, class T>
void forward_loop(const T* input, T* output, std::int64_t count, float alpha, bool past_cache) {
    const Vec a = splat(alpha);
    for_each_vector(count, [=](std::int64_t i, int n) __attribute__((always_inline)) {
        put_some(output + i, value<kind>(load_ahead(input + i, n), a), n, past_cache);
    });
}

template <Activation kind, class T>
void backward_loop(const T* grad_output, const T* saved, T* grad_input, std::int64_t count,
                   float alpha, bool past_cache) {
    const Vec a = splat(alpha);
    for_each_vector(count, [=](std::int64_t i, int n) __attribute__((always_inline)) {
        const Vec g = load_ahead(grad_output + i, n), s = load_ahead(saved + i, n);
        put_some(grad_input + i, g * slope<kind>(s, a), n, past_cache);
    });
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

template <class T>
void forward(Activation kind, const T* input, T* output, std::int64_t count, float alpha,
             bool past_cache) {
    with_kind(kind,
              [=]<Activation k>() { forward_loop<k>(input, output, count, alpha, past_cache); });
    if (past_cache) stream_fence();
}

template <class T>
void backward(Activation kind, const T* grad_output, const T* saved, T* grad_input,
              std::int64_t count, float alpha, bool past_cache) {
    with_kind(kind, [=]<Activation k>() {
        backward_loop<k>(grad_output, saved, grad_input, count, alpha, past_cache);
    });
    if (past_cache) stream_fence();
}

}  // namespace

extern const ActivationKernels<float> activation_float = {forward<float>, backward<float>};
extern const ActivationKernels<bf16> activation_bf16 = {forward<bf16>, backward<bf16>};

}  // namespace voxelgrad::VOXELGRAD_ISA

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
        const Vec result =
            kind == Activation::relu ? (s > 0.0f ? g : Vec{}) : g * slope<kind>(s, a);
        put_some(grad_input + i, result, n, past_cache);
    });
}

template <class T>
void forward(Activation kind, const T* input, T* output, std::int64_t count, float alpha,
             bool past_cache) {
    with_activation(
        kind, [=]<Activation k>() { forward_loop<k>(input, output, count, alpha, past_cache); });
    if (past_cache) stream_fence();
}

template <class T>
void backward(Activation kind, const T* grad_output, const T* saved, T* grad_input,
              std::int64_t count, float alpha, bool past_cache) {
    with_activation(kind, [=]<Activation k>() {
        backward_loop<k>(grad_output, saved, grad_input, count, alpha, past_cache);
    });
    if (past_cache) stream_fence();
}

}  // namespace

extern const ActivationKernels<float> activation_float = {forward<float>, backward<float>};
extern const ActivationKernels<bf16> activation_bf16 = {forward<bf16>, backward<bf16>};

}  // namespace voxelgrad::VOXELGRAD_ISA

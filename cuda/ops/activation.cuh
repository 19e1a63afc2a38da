// Pointwise functions of arrays of float or bf16; semantics as in cpp/ops/activation.hpp and
// clip.hpp.
#pragma once

#include "core/check.hpp"
#include "cuda/core/map.hpp"
#include "cuda/ops/activation_functions.cuh"
#include "ops/kind_names.hpp"

namespace voxelgrad::cuda {

template <Activation kind>
struct ActivationValue {
    float alpha;
    __device__ float operator()(float x) const { return activation_value<kind>(x, alpha); }
};

template <Activation kind>
struct ActivationGradient {
    float alpha;
    __device__ float operator()(float grad, float saved) const {
        return grad * activation_slope<kind>(saved, alpha);
    }
};

struct Clip {
    float low, high;
    __device__ float operator()(float x) const { return x < low ? low : (high < x ? high : x); }
};

struct ClipGradient {
    float low, high;
    __device__ float operator()(float grad, float x) const {
        return x > low && x < high ? grad : 0.0f;
    }
};

template <class T>
void activation_forward(Stream stream, const std::string& kind, View<const T> input, View<T> output,
                        float alpha) {
    check_same_shape("activation_forward", "input", input, "output", output);
    with_activation(activation_kind(kind), [&]<Activation k>() {
        map("activation_forward", stream, ActivationValue<k>{alpha}, input.size(), output.data,
            input.data);
    });
}

template <class T>
void activation_backward(Stream stream, const std::string& kind, View<const T> grad_output,
                         View<const T> saved, View<T> grad_input, float alpha) {
    check_same_shape("activation_backward", "grad_output", grad_output, "saved", saved);
    check_same_shape("activation_backward", "grad_output", grad_output, "grad_input", grad_input);
    with_activation(activation_kind(kind), [&]<Activation k>() {
        map("activation_backward", stream, ActivationGradient<k>{alpha}, saved.size(),
            grad_input.data, grad_output.data, saved.data);
    });
}

template <class T>
void clip_forward(Stream stream, View<const T> input, View<T> output, float low, float high) {
    check_same_shape("clip_forward", "input", input, "output", output);
    map("clip_forward", stream, Clip{low, high}, input.size(), output.data, input.data);
}

template <class T>
void clip_backward(Stream stream, View<const T> grad_output, View<const T> input,
                   View<T> grad_input, float low, float high) {
    check_same_shape("clip_backward", "grad_output", grad_output, "input", input);
    check_same_shape("clip_backward", "grad_output", grad_output, "grad_input", grad_input);
    map("clip_backward", stream, ClipGradient{low, high}, input.size(), grad_input.data,
        grad_output.data, input.data);
}

}  // namespace voxelgrad::cuda

// What families of functions there are; ops/kind_names.hpp has their names.
#pragma once

namespace voxelgrad {

// Pointwise functions. alpha: slope of leaky_relu, scale of elu.
enum class Activation {
    relu,
    leaky_relu,
    elu,
    sigmoid,
    tanh,
    softplus,
    exp,
    log,
    sqrt,
    abs,
    square
};

// Calls function.template operator()<kind>() for the kind that is only known at run time.
template <class Function>
void with_activation(Activation kind, Function function) {
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

enum class Binary { add, sub, mul, div, maximum, minimum };

enum class Distance { mse, l1 };

// What follows a norm in the same pass.
enum class NormActivation { identity, relu, leaky_relu };

}  // namespace voxelgrad

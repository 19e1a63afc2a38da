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

enum class Binary { add, sub, mul, div, maximum, minimum };

enum class Distance { mse, l1 };

// What follows a norm in the same pass.
enum class NormActivation { identity, relu, leaky_relu };

}  // namespace voxelgrad

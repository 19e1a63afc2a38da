// The functions of core/kinds.hpp by their names.
#pragma once

#include <iterator>
#include <string>

#include "core/check.hpp"
#include "core/kinds.hpp"

namespace voxelgrad {

inline Activation activation_kind(const std::string& name) {
    constexpr const char* names[] = {"relu", "leaky_relu", "elu",  "sigmoid", "tanh",  "softplus",
                                     "exp",  "log",        "sqrt", "abs",     "square"};
    for (int i = 0; i < static_cast<int>(std::size(names)); ++i)
        if (name == names[i]) return static_cast<Activation>(i);
    fail("activation: kind '", name, "' is unknown");
}

inline Binary binary_kind(const std::string& name) {
    constexpr const char* names[] = {"add", "sub", "mul", "div", "maximum", "minimum"};
    for (int i = 0; i < static_cast<int>(std::size(names)); ++i)
        if (name == names[i]) return static_cast<Binary>(i);
    fail("binary_forward: kind '", name, "' is unknown");
}

inline Distance distance_kind(const std::string& name) {
    if (name == "mse") return Distance::mse;
    if (name == "l1") return Distance::l1;
    fail("distance: kind '", name, "' is unknown; choose mse or l1");
}

}  // namespace voxelgrad

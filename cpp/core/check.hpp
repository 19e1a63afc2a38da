// Invariants of native code: a failed check becomes a Python ValueError.
#pragma once

#include <sstream>
#include <stdexcept>

#include "core/view.hpp"

namespace voxelgrad {

template <class T>
std::ostream& operator<<(std::ostream& out, const View<T>& view) {
    out << '(';
    for (int axis = 0; axis < view.rank; ++axis) out << (axis ? ", " : "") << view.shape[axis];
    return out << ')';
}

template <class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
    std::ostringstream message;
    (message << ... << parts);
    throw std::invalid_argument(message.str());
}

// The parts are only put together when the condition does not hold.
template <class... Parts>
void check(bool condition, const Parts&... parts) {
    if (!condition) [[unlikely]]
        fail(parts...);
}

template <class A, class B>
void check_same_shape(const char* op, const char* name_a, const View<A>& a, const char* name_b,
                      const View<B>& b) {
    check(same_shape(a, b), op, ": ", name_a, ' ', a, " and ", name_b, ' ', b,
          " must have the same shape");
}

}  // namespace voxelgrad

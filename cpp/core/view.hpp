// A view of an array that somebody else owns: pointer and shape, C-contiguous, no STL, usable in
// device code.
#pragma once

#include <cstdint>

namespace voxelgrad {

constexpr int max_rank = 8;

template <class T>
struct View {
    T* data = nullptr;
    int rank = 0;
    std::int64_t shape[max_rank] = {};

    constexpr std::int64_t operator[](int axis) const { return shape[axis]; }
    constexpr std::int64_t last() const { return shape[rank - 1]; }

    // Number of elements in axes [first, end).
    constexpr std::int64_t count(int first, int end) const {
        std::int64_t n = 1;
        for (int axis = first; axis < end; ++axis) n *= shape[axis];
        return n;
    }
    constexpr std::int64_t size() const { return count(0, rank); }
};

// An argument that may be None: false in a condition when it was.
template <class T>
struct OptionalView : View<T> {
    bool present = false;
    explicit operator bool() const { return present; }
};

// A short list of sizes: kernel, stride, padding, axes.
struct Dims {
    int rank = 0;
    std::int64_t value[max_rank] = {};

    constexpr std::int64_t operator[](int axis) const { return value[axis]; }
};

template <class A, class B>
bool same_shape(const View<A>& a, const View<B>& b) {
    if (a.rank != b.rank) return false;
    for (int axis = 0; axis < a.rank; ++axis)
        if (a.shape[axis] != b.shape[axis]) return false;
    return true;
}

}  // namespace voxelgrad

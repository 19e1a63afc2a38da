// Several neighbouring elements that are loaded and stored as one.
#pragma once

#include <cstdint>

#include "core/bf16.hpp"
#include "cuda/core/platform.hpp"

namespace voxelgrad::cuda {

template <class T, int count>
struct alignas(sizeof(T) * count < 16 ? sizeof(T) * count : 16) Pack {
    T value[count];
};

// Elements of T that fill the widest load, 16 bytes.
template <class T>
constexpr int full_width = 16 / sizeof(T);

template <class... Pointers>
bool all_aligned(Pointers... pointers) {
    return ((reinterpret_cast<std::uintptr_t>(pointers) % 16 == 0) && ...);
}

// Whether rows of `length` elements of T that begin at these addresses can be gone through in full
// packs.
template <class T, class... Pointers>
bool packs_fit(std::int64_t length, Pointers... pointers) {
    return length % full_width<T> == 0 && all_aligned(pointers...);
}

template <int width, class T>
__device__ Pack<T, width> load_pack(const T* from) {
    return *reinterpret_cast<const Pack<T, width>*>(from);
}

template <int width, class T>
__device__ void store_rounded(const float (&values)[width], T* to) {
    Pack<T, width> pack;
    VOXELGRAD_UNROLL
    for (int i = 0; i < width; ++i) pack.value[i] = rounded_to<T>(values[i]);
    *reinterpret_cast<Pack<T, width>*>(to) = pack;
}

}  // namespace voxelgrad::cuda

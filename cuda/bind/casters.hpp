// cupy arrays (or what has their attributes) -> View, OptionalView. No copies: a numpy array, a
// wrong dtype or a gap in the memory is refused, and pybind11 turns that into a TypeError.
#pragma once

#include <pybind11/stl.h>

#include "bind/elements.hpp"

namespace pybind11::detail {

template <class T>
bool load_device_view(handle source, voxelgrad::View<T>& view) {
    using Element = std::remove_const_t<T>;
    if (!hasattr(type::of(source), "__cuda_array_interface__")) return false;
    if (!holds<Element>(reinterpret_borrow<pybind11::dtype>(source.attr("dtype")))) return false;
    if (!source.attr("flags").attr("c_contiguous").template cast<bool>()) return false;
    const auto shape = reinterpret_borrow<tuple>(source.attr("shape"));
    if (shape.size() > voxelgrad::max_rank) return false;
    view.rank = static_cast<int>(shape.size());
    for (int axis = 0; axis < view.rank; ++axis)
        view.shape[axis] = shape[static_cast<std::size_t>(axis)].template cast<std::int64_t>();
    const auto address = source.attr("data").attr("ptr").template cast<std::uintptr_t>();
    view.data = reinterpret_cast<T*>(address);
    return address % alignof(Element) == 0;
}

template <class T>
struct type_caster<voxelgrad::View<T>> {
    PYBIND11_TYPE_CASTER(voxelgrad::View<T>,
                         const_name("cupy.ndarray[") +
                             npy_format_descriptor<std::remove_const_t<T>>::name + const_name("]"));
    bool load(handle source, bool) { return load_device_view<T>(source, value); }
};

template <class T>
struct type_caster<voxelgrad::OptionalView<T>> {
    PYBIND11_TYPE_CASTER(voxelgrad::OptionalView<T>,
                         const_name("cupy.ndarray[") +
                             npy_format_descriptor<std::remove_const_t<T>>::name +
                             const_name("] | None"));
    bool load(handle source, bool) {
        value.present = !source.is_none();
        return !value.present || load_device_view<T>(source, value);
    }
};

}  // namespace pybind11::detail

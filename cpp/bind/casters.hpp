// numpy arrays -> View, OptionalView, Dims; ml_dtypes' bfloat16 -> bf16. No silent copies: a wrong
// dtype, a gap in the memory or a read-only output is refused, and pybind11 turns that into a
// TypeError.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <type_traits>

#include "bind/elements.hpp"
#include "core/view.hpp"

namespace pybind11::detail {

template <class T>
bool load_view(handle source, voxelgrad::View<T>& view) {
    using Element = std::remove_const_t<T>;
    if (!isinstance<pybind11::array>(source)) return false;
    const auto array = reinterpret_borrow<pybind11::array>(source);
    if (!(array.flags() & array::c_style) || !holds<Element>(array.dtype())) return false;
    if (array.ndim() > voxelgrad::max_rank) return false;
    if constexpr (!std::is_const_v<T>)
        if (!array.writeable()) return false;
    view.data = static_cast<T*>(const_cast<void*>(array.data()));
    view.rank = static_cast<int>(array.ndim());
    for (int axis = 0; axis < view.rank; ++axis) view.shape[axis] = array.shape(axis);
    return reinterpret_cast<std::uintptr_t>(view.data) % alignof(Element) == 0;
}

template <class T>
struct type_caster<voxelgrad::View<T>> {
    PYBIND11_TYPE_CASTER(voxelgrad::View<T>,
                         const_name("numpy.ndarray[") +
                             npy_format_descriptor<std::remove_const_t<T>>::name + const_name("]"));
    bool load(handle source, bool) { return load_view<T>(source, value); }
};

template <class T>
struct type_caster<voxelgrad::OptionalView<T>> {
    PYBIND11_TYPE_CASTER(voxelgrad::OptionalView<T>,
                         const_name("numpy.ndarray[") +
                             npy_format_descriptor<std::remove_const_t<T>>::name +
                             const_name("] | None"));
    bool load(handle source, bool) {
        value.present = !source.is_none();
        return !value.present || load_view<T>(source, value);
    }
};

}  // namespace pybind11::detail

// numpy arrays -> View, OptionalView, Dims; ml_dtypes' bfloat16 -> bf16. No silent copies: a wrong
// dtype, a gap in the memory or a read-only output is refused, and pybind11 turns that into a
// TypeError.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string_view>
#include <type_traits>

#include "core/bf16.hpp"
#include "core/view.hpp"

namespace pybind11::detail {

// numpy knows bfloat16 only as a type that another package has registered.
template <>
struct npy_format_descriptor<voxelgrad::bf16> {
    static constexpr auto name = const_name("bfloat16");
};

template <class Element>
bool holds(const pybind11::array& array) {
    if constexpr (std::is_same_v<Element, voxelgrad::bf16>) {
        const auto dtype = array.dtype();
        // Not one of numpy's own types; the name tells it from other types of two bytes.
        if (dtype.itemsize() != 2 || dtype.num() < 256) return false;
        const std::string_view type =
            reinterpret_cast<PyTypeObject*>(dtype.attr("type").ptr())->tp_name;
        return type.ends_with("bfloat16");
    } else {
        return npy_api::get().PyArray_EquivTypes_(array.dtype().ptr(),
                                                  pybind11::dtype::of<Element>().ptr());
    }
}

template <class T>
bool load_view(handle source, voxelgrad::View<T>& view) {
    using Element = std::remove_const_t<T>;
    if (!isinstance<pybind11::array>(source)) return false;
    const auto array = reinterpret_borrow<pybind11::array>(source);
    if (!(array.flags() & array::c_style) || !holds<Element>(array)) return false;
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

template <>
struct type_caster<voxelgrad::Dims> {
    PYBIND11_TYPE_CASTER(voxelgrad::Dims, const_name("tuple[int, ...]"));
    bool load(handle source, bool) {
        if (!isinstance<tuple>(source) && !isinstance<list>(source)) return false;
        const auto items = reinterpret_borrow<sequence>(source);
        if (items.size() > voxelgrad::max_rank) return false;
        value.rank = static_cast<int>(items.size());
        for (int axis = 0; axis < value.rank; ++axis) {
            make_caster<std::int64_t> number;
            if (!number.load(items[static_cast<std::size_t>(axis)], true)) return false;
            value.value[axis] = cast_op<std::int64_t>(number);
        }
        return true;
    }
};

}  // namespace pybind11::detail

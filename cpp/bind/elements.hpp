// The number formats of arrays, of numpy's and of cupy's, and lists of sizes, in Python and here.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

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
bool holds(const pybind11::dtype& dtype) {
    if constexpr (std::is_same_v<Element, voxelgrad::bf16>) {
        // Not one of numpy's own types; the name tells it from other types of two bytes.
        if (dtype.itemsize() != 2 || dtype.num() < 256) return false;
        const std::string_view type =
            reinterpret_cast<PyTypeObject*>(dtype.attr("type").ptr())->tp_name;
        return type.ends_with("bfloat16");
    } else {
        return npy_api::get().PyArray_EquivTypes_(dtype.ptr(),
                                                  pybind11::dtype::of<Element>().ptr());
    }
}

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

// The families of functions in the module: one file each in this folder. Every function takes the
// address of a stream first, then what its namesake of the cpu backend takes.
#pragma once

#include <cstdint>
#include <type_traits>

#include "cuda/bind/casters.hpp"
#include "cuda/core/launch.hpp"

namespace voxelgrad::cuda {

void define_conv(pybind11::module_& m);
void define_elementwise(pybind11::module_& m);
void define_norm(pybind11::module_& m);
void define_probes(pybind11::module_& m);
void define_shape(pybind11::module_& m);
void define_loss(pybind11::module_& m);
void define_training(pybind11::module_& m);
void define_window(pybind11::module_& m);

// Python gives the stream as an address. The GIL stays: a launch takes a few microseconds, and
// workspaces are taken from cupy's pool.
template <class Result, class... Parameters, class... Names>
void def(pybind11::module_& m, const char* name, Result (*function)(Stream, Parameters...),
         Names... names) {
    m.def(
        name,
        [function](std::uintptr_t stream, std::decay_t<Parameters>... arguments) {
            return function(reinterpret_cast<Stream>(stream), std::move(arguments)...);
        },
        pybind11::arg("stream"), names...);
}

}  // namespace voxelgrad::cuda

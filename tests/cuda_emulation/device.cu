// The emulated device for Python: its memory, streams and graphs, of which fake_cupy.py makes
// arrays.
#include <pybind11/functional.h>
#include <pybind11/pybind11.h>

#include "cuda/core/platform.hpp"
#include "streams.hpp"

namespace py = pybind11;
using namespace pybind11::literals;

namespace voxelgrad::cuda {
namespace {

using Address = std::uintptr_t;

void* at(Address address) { return reinterpret_cast<void*>(address); }

void define_memory(py::module_& m) {
    m.def("allocate",
          [](std::size_t bytes) { return reinterpret_cast<Address>(emulation::allocate(bytes)); });
    m.def("release", [](Address address) { emulation::release(at(address)); });
    m.def("bytes_in_use", emulation::bytes_in_use);
}

void define_streams(py::module_& m) {
    m.def("submit", [](Address stream, emulation::Work work) {
        emulation::submit(at(stream), std::move(work));
    });
    m.def("begin_capture", [](Address stream) { emulation::begin_capture(at(stream)); });
    m.def("end_capture", [](Address stream) { return emulation::end_capture(at(stream)); });
    m.def("is_capturing", [](Address stream) { return emulation::is_capturing(at(stream)); });
    m.def("is_any_capturing", emulation::is_any_capturing);
    m.def("refuse_in_capture",
          [](Address stream, const char* what) { emulation::refuse_in_capture(at(stream), what); });
    py::class_<emulation::Graph>(m, "Graph")
        .def("__len__", [](const emulation::Graph& graph) { return graph.works.size(); })
        .def(
            "launch",
            [](const emulation::Graph& graph, Address stream) {
                for (const emulation::Work& work : graph.works) emulation::submit(at(stream), work);
            },
            "stream"_a);
}

}  // namespace

void define_device(py::module_& m) {
    define_memory(m);
    define_streams(m);
    m.def("become_hopper", [](bool hopper) { emulation::is_hopper = hopper; });
}

}  // namespace voxelgrad::cuda

// The native module: flat functions on arrays, outputs given by the caller. One line a function.
#include "bind/casters.hpp"
#include "core/isa.hpp"
#include "core/parallel_for.hpp"
#include "core/pool.hpp"
#include "ops/activation.hpp"

namespace py = pybind11;
using namespace pybind11::literals;
namespace vg = voxelgrad;

namespace {

// An uninitialised array whose memory comes from the pool and returns to it.
py::array empty(const std::vector<py::ssize_t>& shape, const py::dtype& dtype) {
    py::ssize_t count = 1;
    for (const py::ssize_t extent : shape) count *= extent;
    void* const block = vg::pool_allocate(static_cast<std::size_t>(count * dtype.itemsize()));
    return py::array(dtype, shape, block, py::capsule(block, vg::pool_release));
}

py::dict memory_statistics() {
    const vg::PoolStatistics s = vg::pool_statistics();
    return py::dict("in_use"_a = s.in_use, "cached"_a = s.cached, "peak_in_use"_a = s.peak_in_use);
}

// The GIL is released after the arguments have been cast.
template <class Function, class... Names>
void def(py::module_& m, const char* name, Function function, Names... names) {
    m.def(name, function, py::call_guard<py::gil_scoped_release>(), names...);
}

void define_runtime(py::module_& m) {
    m.def("empty", empty, "shape"_a, "dtype"_a);
    m.def("memory_statistics", memory_statistics);
    m.def("memory_reset_peak", vg::pool_reset_peak);
    m.def("memory_trim", vg::pool_trim);
    m.def("num_threads", vg::num_threads);
    m.def("set_num_threads", vg::set_num_threads, "count"_a);
    m.def("isa_name", vg::isa_name);
    m.def("isa_names", vg::supported_isa_names);
    m.def("set_isa", vg::set_isa, "name"_a);
}

void define_activation(py::module_& m) {
    def(m, "activation_forward", vg::activation_forward, "kind"_a, "input"_a, "output"_a,
        "alpha"_a);
    def(m, "activation_backward", vg::activation_backward, "kind"_a, "grad_output"_a, "saved"_a,
        "grad_input"_a, "alpha"_a);
}

}  // namespace

PYBIND11_MODULE(_cpu, m) {
    m.doc() = "voxelgrad's kernels for the CPU";
    define_runtime(m);
    define_activation(m);
}

// The module: the families, and what is asked of the device before there are arrays.
#include "cuda/bind/families.hpp"
#include "cuda/core/workspace.hpp"

#ifndef VOXELGRAD_CUDA_MODULE
#define VOXELGRAD_CUDA_MODULE _cuda
#endif

namespace py = pybind11;
using namespace pybind11::literals;

namespace voxelgrad::cuda {
namespace {

// The Python function that gives device memory; what it returns holds the memory and has its
// address as `ptr`. Never destroyed: the interpreter may be gone by then.
py::object& allocator() {
    static auto* const function = new py::object;
    return *function;
}

void* take_workspace(std::size_t bytes, void*& handle) {
    py::object memory = allocator()(bytes);
    void* const address = reinterpret_cast<void*>(memory.attr("ptr").cast<std::uintptr_t>());
    handle = memory.release().ptr();
    return address;
}

void give_workspace_back(void* handle) noexcept { Py_DECREF(static_cast<PyObject*>(handle)); }

void set_allocator(py::object function) {
    allocator() = std::move(function);
    workspace_source = {take_workspace, give_workspace_back};
}

#if defined(__CUDACC__)
// Why no device can be used; nothing if one can.
std::string device_problem() {
    int count = 0;
    const cudaError_t status = cudaGetDeviceCount(&count);
    if (status == cudaErrorInsufficientDriver) {
        int driver = 0;
        cudaDriverGetVersion(&driver);
        if (driver == 0) return "no NVIDIA driver is installed";
        return "the NVIDIA driver is too old for CUDA " + std::to_string(CUDART_VERSION / 1000) +
               "." + std::to_string(CUDART_VERSION % 1000 / 10);
    }
    if (status == cudaErrorNoDevice || (status == cudaSuccess && count == 0))
        return "the NVIDIA driver finds no device (see CUDA_VISIBLE_DEVICES)";
    return status == cudaSuccess ? "" : std::string(cudaGetErrorString(status));
}
#else
std::string device_problem() { return ""; }
#endif

}  // namespace

#if !defined(__CUDACC__)
// tests/cuda_emulation/
void define_device(py::module_& m);
void define_faulty(py::module_& m);
#endif

}  // namespace voxelgrad::cuda

PYBIND11_MODULE(VOXELGRAD_CUDA_MODULE, m) {
    using namespace voxelgrad::cuda;
    m.doc() = "voxelgrad's kernels for CUDA devices";
    m.attr("_version") = VOXELGRAD_VERSION;
    m.def("_device_problem", device_problem);
    m.def("_set_allocator", set_allocator, "function"_a);
#if !defined(__CUDACC__)
    define_device(m);
    define_faulty(m);
#endif
    define_conv(m);
    define_elementwise(m);
    define_norm(m);
    define_probes(m);
    define_shape(m);
    define_loss(m);
    define_training(m);
    define_window(m);
}

// What moves values.
#include "cuda/bind/families.hpp"
#include "cuda/ops/shape.cuh"
#include "cuda/ops/transpose.cuh"

namespace voxelgrad::cuda {
namespace {

using namespace pybind11::literals;

template <class T>
void define_images(pybind11::module_& m) {
    def(m, "transpose", transpose<T>, "input"_a, "output"_a, "axes"_a);
    def(m, "concat", concat<T>, "inputs"_a, "output"_a, "axis"_a);
    def(m, "split", split<T>, "input"_a, "outputs"_a, "axis"_a);
    def(m, "slice_forward", slice_forward<T>, "input"_a, "output"_a, "start"_a);
    def(m, "pad_forward", pad_forward<T>, "input"_a, "output"_a, "before"_a, "mode"_a, "value"_a);
    def(m, "pad_backward", pad_backward<T>, "grad_output"_a, "grad_input"_a, "before"_a, "mode"_a);
}

}  // namespace

void define_shape(pybind11::module_& m) {
    define_images<float>(m);
    define_images<bf16>(m);
}

}  // namespace voxelgrad::cuda

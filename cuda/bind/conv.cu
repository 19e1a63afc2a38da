// Convolutions, linear layers and other matrix products.
#include "cuda/bind/families.hpp"
#include "cuda/ops/matmul.cuh"

namespace voxelgrad::cuda {
namespace {

using namespace pybind11::literals;

template <class T>
void define_images(pybind11::module_& m) {
    def(m, "conv_forward", conv_forward<T>, "input"_a, "weight"_a, "bias"_a, "output"_a, "stride"_a,
        "padding"_a, "dilation"_a, "groups"_a, "slope"_a);
    def(m, "conv_backward_data", conv_backward_data<T>, "grad_output"_a, "weight"_a, "grad_input"_a,
        "stride"_a, "padding"_a, "dilation"_a, "groups"_a);
    def(m, "conv_backward_weight", conv_backward_weight<T>, "grad_output"_a, "input"_a,
        "grad_weight"_a, "grad_bias"_a, "stride"_a, "padding"_a, "dilation"_a, "groups"_a);
    def(m, "conv_transpose_forward", conv_transpose_forward<T>, "input"_a, "weight"_a, "bias"_a,
        "output"_a, "stride"_a, "padding"_a, "dilation"_a, "groups"_a, "slope"_a);
    def(m, "conv_transpose_backward_data", conv_transpose_backward_data<T>, "grad_output"_a,
        "weight"_a, "grad_input"_a, "stride"_a, "padding"_a, "dilation"_a, "groups"_a);
    def(m, "conv_transpose_backward_weight", conv_transpose_backward_weight<T>, "grad_output"_a,
        "input"_a, "grad_weight"_a, "grad_bias"_a, "stride"_a, "padding"_a, "dilation"_a,
        "groups"_a);
    def(m, "linear_forward", linear_forward<T>, "input"_a, "weight"_a, "bias"_a, "output"_a,
        "slope"_a);
    def(m, "linear_backward_data", linear_backward_data<T>, "grad_output"_a, "weight"_a,
        "grad_input"_a);
    def(m, "linear_backward_weight", linear_backward_weight<T>, "grad_output"_a, "input"_a,
        "grad_weight"_a, "grad_bias"_a);
    def(m, "matmul_forward", matmul_forward<T>, "a"_a, "b"_a, "output"_a);
    def(m, "matmul_backward_a", matmul_backward_a<T>, "grad_output"_a, "b"_a, "grad_a"_a);
    def(m, "matmul_backward_b", matmul_backward_b<T>, "grad_output"_a, "a"_a, "grad_b"_a);
}

}  // namespace

void define_conv(pybind11::module_& m) {
    define_images<float>(m);
    define_images<bf16>(m);
    def(m, "allow_tf32", allow_tf32, "allowed"_a);
    def(m, "force_products", force_products, "name"_a);
}

}  // namespace voxelgrad::cuda

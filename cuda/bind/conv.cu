// Convolutions and linear layers.
#include "cuda/bind/families.hpp"
#include "cuda/ops/conv.cuh"

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
}

}  // namespace

void define_conv(pybind11::module_& m) {
    define_images<float>(m);
    define_images<bf16>(m);
    def(m, "allow_tf32", allow_tf32, "allowed"_a);
    def(m, "force_products", force_products, "name"_a);
}

}  // namespace voxelgrad::cuda

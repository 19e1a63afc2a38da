// Norms.
#include "cuda/bind/families.hpp"
#include "cuda/ops/norm.cuh"
#include "cuda/ops/norm_running.cuh"

namespace voxelgrad::cuda {
namespace {

using namespace pybind11::literals;

template <class T>
void define_images(pybind11::module_& m) {
    def(m, "batch_norm_forward", batch_norm_forward<T>, "input"_a, "weight"_a, "bias"_a, "output"_a,
        "mean"_a, "invstd"_a, "eps"_a, "activation"_a, "alpha"_a);
    def(m, "batch_norm_apply", batch_norm_apply<T>, "input"_a, "weight"_a, "bias"_a, "mean"_a,
        "invstd"_a, "output"_a, "activation"_a, "alpha"_a);
    def(m, "batch_norm_backward", batch_norm_backward<T>, "grad_output"_a, "input"_a, "weight"_a,
        "bias"_a, "mean"_a, "invstd"_a, "grad_input"_a, "grad_weight"_a, "grad_bias"_a,
        "training"_a, "activation"_a, "alpha"_a);
    def(m, "group_norm_forward", group_norm_forward<T>, "input"_a, "weight"_a, "bias"_a, "output"_a,
        "mean"_a, "invstd"_a, "eps"_a, "activation"_a, "alpha"_a);
    def(m, "group_norm_apply", group_norm_apply<T>, "input"_a, "weight"_a, "bias"_a, "mean"_a,
        "invstd"_a, "output"_a, "activation"_a, "alpha"_a);
    def(m, "group_norm_backward", group_norm_backward<T>, "grad_output"_a, "input"_a, "weight"_a,
        "bias"_a, "mean"_a, "invstd"_a, "grad_input"_a, "grad_weight"_a, "grad_bias"_a,
        "activation"_a, "alpha"_a);
}

template <class Statistic>
void define_running(pybind11::module_& m) {
    def(m, "batch_norm_update", batch_norm_update<Statistic>, "mean"_a, "invstd"_a,
        "running_mean"_a, "running_var"_a, "count"_a, "momentum"_a, "eps"_a);
    def(m, "batch_norm_statistics", batch_norm_statistics<Statistic>, "running_mean"_a,
        "running_var"_a, "mean"_a, "invstd"_a, "eps"_a);
}

}  // namespace

void define_norm(pybind11::module_& m) {
    define_images<float>(m);
    define_images<bf16>(m);
    define_running<float>(m);
    define_running<double>(m);
    def(m, "batch_norm_fold", batch_norm_fold, "weight"_a, "bias"_a, "norm_weight"_a, "norm_bias"_a,
        "mean"_a, "variance"_a, "folded_weight"_a, "folded_bias"_a, "eps"_a);
}

}  // namespace voxelgrad::cuda

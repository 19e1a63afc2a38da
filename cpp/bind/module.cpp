// The native module: flat functions on arrays, outputs given by the caller. One line a function.
#include "bind/casters.hpp"
#include "bind/plan.hpp"
#include "core/isa.hpp"
#include "core/parallel_for.hpp"
#include "core/pool.hpp"
#include "ops/activation.hpp"
#include "ops/arithmetic.hpp"
#include "ops/augment.hpp"
#include "ops/cast.hpp"
#include "ops/clip.hpp"
#include "ops/conv.hpp"
#include "ops/conv_joined.hpp"
#include "ops/conv_norm.hpp"
#include "ops/conv_pooled.hpp"
#include "ops/cross_entropy.hpp"
#include "ops/dice.hpp"
#include "ops/dropout.hpp"
#include "ops/focal.hpp"
#include "ops/interpolate.hpp"
#include "ops/limits.hpp"
#include "ops/matmul.hpp"
#include "ops/mean_loss.hpp"
#include "ops/norm.hpp"
#include "ops/optim.hpp"
#include "ops/pointwise_loss.hpp"
#include "ops/pool.hpp"
#include "ops/reduce.hpp"
#include "ops/resample.hpp"
#include "ops/shape.hpp"
#include "ops/softmax.hpp"

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

// The GIL is released after the arguments have been cast. Plans can record the function.
template <class Function, class... Names>
void def(py::module_& m, const char* name, Function function, Names... names) {
    m.def(name, function, py::call_guard<py::gil_scoped_release>(), names...);
    vg::remember(name, function);
}

void define_runtime(py::module_& m) {
    m.def("_empty", empty, "shape"_a, "dtype"_a);
    m.def("memory_statistics", memory_statistics);
    m.def("memory_reset_peak", vg::pool_reset_peak);
    m.def("memory_trim", vg::pool_trim);
    m.def("num_threads", vg::num_threads);
    m.def("set_num_threads", vg::set_num_threads, "count"_a);
    m.def("isa_name", vg::isa_name);
    m.def("isa_names", vg::supported_isa_names);
    m.def("set_isa", vg::set_isa, "name"_a);
    def(m, "set_conv_algorithm", vg::set_conv_algorithm, "name"_a);
    def(m, "run_fma", vg::run_fma, "rounds"_a);
    def(m, "run_tiles", vg::run_tiles, "rounds"_a);
    def(m, "run_bandwidth", vg::run_bandwidth, "kind"_a, "a"_a, "b"_a, "output"_a, "rounds"_a);
}

template <class T>
void define_activation(py::module_& m) {
    def(m, "activation_forward", vg::activation_forward<T>, "kind"_a, "input"_a, "output"_a,
        "alpha"_a);
    def(m, "activation_backward", vg::activation_backward<T>, "kind"_a, "grad_output"_a, "saved"_a,
        "grad_input"_a, "alpha"_a);
    def(m, "clip_forward", vg::clip_forward<T>, "input"_a, "output"_a, "low"_a, "high"_a);
    def(m, "clip_backward", vg::clip_backward<T>, "grad_output"_a, "input"_a, "grad_input"_a,
        "low"_a, "high"_a);
}

template <class T>
void define_arithmetic(py::module_& m) {
    def(m, "binary_forward", vg::binary_forward<T>, "kind"_a, "a"_a, "b"_a, "output"_a);
    def(m, "broadcast_to", vg::broadcast_to<T>, "input"_a, "output"_a, "scale"_a);
    def(m, "fill", vg::fill<T>, "output"_a, "value"_a);
    def(m, "reduce_sum", vg::reduce_sum<T, T>, "input"_a, "output"_a, "scale"_a);
}

void define_cast(py::module_& m) {
    def(m, "cast", vg::narrow, "input"_a, "output"_a);
    def(m, "cast", vg::widen, "input"_a, "output"_a);
    def(m, "reduce_sum", vg::reduce_sum<vg::bf16, float>, "input"_a, "output"_a, "scale"_a);
}

void define_softmax(py::module_& m) {
    def(m, "softmax_forward", vg::softmax_forward, "input"_a, "output"_a, "log"_a);
    def(m, "softmax_backward", vg::softmax_backward, "grad_output"_a, "output"_a, "grad_input"_a,
        "log"_a);
}

void define_loss(py::module_& m) {
    def(m, "cross_entropy_forward", vg::cross_entropy_forward, "logits"_a, "labels"_a,
        "class_weight"_a, "log_sum_exp"_a, "totals"_a, "ignore_index"_a);
    def(m, "cross_entropy_backward", vg::cross_entropy_backward, "logits"_a, "labels"_a,
        "class_weight"_a, "log_sum_exp"_a, "totals"_a, "grad_output"_a, "grad_logits"_a,
        "ignore_index"_a);
    def(m, "focal_forward", vg::focal_forward, "logits"_a, "labels"_a, "class_weight"_a, "totals"_a,
        "gamma"_a, "ignore_index"_a);
    def(m, "focal_backward", vg::focal_backward, "logits"_a, "labels"_a, "class_weight"_a,
        "totals"_a, "grad_output"_a, "grad_logits"_a, "gamma"_a, "ignore_index"_a);
    def(m, "bce_with_logits_forward", vg::bce_with_logits_forward, "logits"_a, "targets"_a,
        "totals"_a, "pos_weight"_a);
    def(m, "bce_with_logits_backward", vg::bce_with_logits_backward, "logits"_a, "targets"_a,
        "totals"_a, "grad_output"_a, "grad_logits"_a, "pos_weight"_a);
    def(m, "distance_forward", vg::distance_forward, "kind"_a, "input"_a, "target"_a, "totals"_a);
    def(m, "distance_backward", vg::distance_backward, "kind"_a, "input"_a, "target"_a, "totals"_a,
        "grad_output"_a, "grad_input"_a);
    def(m, "dice_sums", vg::dice_sums, "probabilities"_a, "labels"_a, "sums"_a, "ignore_index"_a);
    def(m, "dice_score", vg::dice_score, "sums"_a, "dice"_a, "denominator"_a, "output"_a,
        "smooth"_a, "include_background"_a);
    def(m, "dice_coefficients", vg::dice_coefficients, "dice"_a, "denominator"_a, "grad_output"_a,
        "coefficient_intersection"_a, "coefficient_sum"_a, "include_background"_a);
    def(m, "dice_backward", vg::dice_backward, "labels"_a, "coefficient_intersection"_a,
        "coefficient_sum"_a, "grad_probabilities"_a, "ignore_index"_a);
}

void define_mean_loss(py::module_& m) {
    def(m, "mean_of_totals", vg::mean_of_totals, "op"_a, "totals"_a, "output"_a);
    def(m, "check_probabilities", vg::check_probabilities, "op"_a, "targets"_a);
}

template <class T>
void define_dropout(py::module_& m) {
    def(m, "dropout", vg::dropout<T>, "input"_a, "output"_a, "p"_a, "seed"_a);
}

void define_optim(py::module_& m) {
    def(m, "sgd_step", vg::sgd_step, "params"_a, "grads"_a, "buffers"_a, "lr"_a, "momentum"_a,
        "nesterov"_a, "weight_decay"_a);
    def(m, "adam_step", vg::adam_step, "params"_a, "grads"_a, "exp_avgs"_a, "exp_avg_sqs"_a, "lr"_a,
        "beta1"_a, "beta2"_a, "eps"_a, "weight_decay"_a, "decoupled"_a, "step"_a);
    def(m, "squared_norm", vg::squared_norm, "arrays"_a);
    def(m, "scale_inplace", vg::scale_inplace, "arrays"_a, "factor"_a);
    def(m, "all_finite", vg::all_finite, "array"_a);
}

// Images of type T; float32 weights.
template <class T>
void define_conv(py::module_& m) {
    def(m, "conv_forward", vg::conv_forward<T>, "input"_a, "weight"_a, "bias"_a, "output"_a,
        "stride"_a, "padding"_a, "dilation"_a, "groups"_a, "slope"_a);
    def(m, "conv_backward_data", vg::conv_backward_data<T>, "grad_output"_a, "weight"_a,
        "grad_input"_a, "stride"_a, "padding"_a, "dilation"_a, "groups"_a);
    def(m, "conv_backward_weight", vg::conv_backward_weight<T>, "grad_output"_a, "input"_a,
        "grad_weight"_a, "grad_bias"_a, "stride"_a, "padding"_a, "dilation"_a, "groups"_a);
    def(m, "conv_joined_forward", vg::conv_joined_forward<T>, "inputs"_a, "weight"_a, "bias"_a,
        "output"_a, "stride"_a, "padding"_a, "dilation"_a, "groups"_a, "slope"_a);
    def(m, "conv_joined_backward_data", vg::conv_joined_backward_data<T>, "grad_output"_a,
        "weight"_a, "grad_inputs"_a, "stride"_a, "padding"_a, "dilation"_a, "groups"_a);
    def(m, "conv_joined_backward_weight", vg::conv_joined_backward_weight<T>, "grad_output"_a,
        "inputs"_a, "grad_weight"_a, "grad_bias"_a, "stride"_a, "padding"_a, "dilation"_a,
        "groups"_a);
    def(m, "conv_transpose_forward", vg::conv_transpose_forward<T>, "input"_a, "weight"_a, "bias"_a,
        "output"_a, "stride"_a, "padding"_a, "dilation"_a, "groups"_a, "slope"_a);
    def(m, "conv_transpose_backward_data", vg::conv_transpose_backward_data<T>, "grad_output"_a,
        "weight"_a, "grad_input"_a, "stride"_a, "padding"_a, "dilation"_a, "groups"_a);
    def(m, "conv_transpose_backward_weight", vg::conv_transpose_backward_weight<T>, "grad_output"_a,
        "input"_a, "grad_weight"_a, "grad_bias"_a, "stride"_a, "padding"_a, "dilation"_a,
        "groups"_a);
    def(m, "linear_forward", vg::linear_forward<T>, "input"_a, "weight"_a, "bias"_a, "output"_a,
        "slope"_a);
    def(m, "linear_backward_data", vg::linear_backward_data<T>, "grad_output"_a, "weight"_a,
        "grad_input"_a);
    def(m, "linear_backward_weight", vg::linear_backward_weight<T>, "grad_output"_a, "input"_a,
        "grad_weight"_a, "grad_bias"_a);
    def(m, "matmul_forward", vg::matmul_forward<T>, "a"_a, "b"_a, "output"_a);
    def(m, "matmul_backward_a", vg::matmul_backward_a<T>, "grad_output"_a, "b"_a, "grad_a"_a);
    def(m, "matmul_backward_b", vg::matmul_backward_b<T>, "grad_output"_a, "a"_a, "grad_b"_a);
}

void define_augment(py::module_& m) {
    def(m, "resample_linear", vg::resample_linear, "image"_a, "output"_a, "matrix"_a, "offset"_a,
        "displacement"_a, "fill"_a);
    def(m, "resample_nearest", vg::resample_nearest, "mask"_a, "output"_a, "matrix"_a, "offset"_a,
        "displacement"_a, "fill"_a);
    def(m, "add_gaussian_noise", vg::add_gaussian_noise, "image"_a, "output"_a, "std"_a, "seed"_a);
    def(m, "adjust_intensity", vg::adjust_intensity, "image"_a, "output"_a, "low"_a, "high"_a,
        "gamma"_a, "scale"_a, "shift"_a);
}

// The type of the running statistics, float32 or float64, decides.
template <class Statistic>
void define_running_statistics(py::module_& m) {
    def(m, "batch_norm_update", vg::batch_norm_update<Statistic>, "mean"_a, "invstd"_a,
        "running_mean"_a, "running_var"_a, "count"_a, "momentum"_a, "eps"_a);
    def(m, "batch_norm_statistics", vg::batch_norm_statistics<Statistic>, "running_mean"_a,
        "running_var"_a, "mean"_a, "invstd"_a, "eps"_a);
}

void define_norm_fold(py::module_& m) {
    def(m, "batch_norm_fold", vg::batch_norm_fold, "weight"_a, "bias"_a, "norm_weight"_a,
        "norm_bias"_a, "mean"_a, "variance"_a, "folded_weight"_a, "folded_bias"_a, "eps"_a);
}

template <class T>
void define_norm(py::module_& m) {
    def(m, "batch_norm_forward", vg::batch_norm_forward<T>, "input"_a, "weight"_a, "bias"_a,
        "output"_a, "mean"_a, "invstd"_a, "eps"_a, "activation"_a, "alpha"_a);
    def(m, "batch_norm_apply", vg::batch_norm_apply<T>, "input"_a, "weight"_a, "bias"_a, "mean"_a,
        "invstd"_a, "output"_a, "activation"_a, "alpha"_a);
    def(m, "batch_norm_backward", vg::batch_norm_backward<T>, "grad_output"_a, "input"_a,
        "weight"_a, "bias"_a, "mean"_a, "invstd"_a, "grad_input"_a, "grad_weight"_a, "grad_bias"_a,
        "training"_a, "activation"_a, "alpha"_a);
    def(m, "group_norm_forward", vg::group_norm_forward<T>, "input"_a, "weight"_a, "bias"_a,
        "output"_a, "mean"_a, "invstd"_a, "eps"_a, "activation"_a, "alpha"_a);
    def(m, "group_norm_apply", vg::group_norm_apply<T>, "input"_a, "weight"_a, "bias"_a, "mean"_a,
        "invstd"_a, "output"_a, "activation"_a, "alpha"_a);
    def(m, "group_norm_backward", vg::group_norm_backward<T>, "grad_output"_a, "input"_a,
        "weight"_a, "bias"_a, "mean"_a, "invstd"_a, "grad_input"_a, "grad_weight"_a, "grad_bias"_a,
        "activation"_a, "alpha"_a);
}

template <class T>
void define_conv_norm(py::module_& m) {
    def(m, "conv_norm_forward", vg::conv_norm_forward<T>, "inputs"_a, "weight"_a, "bias"_a,
        "conv_output"_a, "stride"_a, "padding"_a, "dilation"_a, "groups"_a, "slope"_a, "norm"_a,
        "norm_weight"_a, "norm_bias"_a, "output"_a, "mean"_a, "invstd"_a, "eps"_a, "activation"_a,
        "alpha"_a);
}

void define_pooled_conv(py::module_& m) {
    def(m, "conv_reads_pooled", vg::conv_reads_pooled, "input"_a, "weight"_a, "padding"_a,
        "pool_size"_a);
    def(m, "conv_pooled_backward_weight", vg::conv_pooled_backward_weight, "grad_output"_a,
        "indices"_a, "input"_a, "grad_weight"_a, "grad_bias"_a, "padding"_a, "pool_size"_a);
}

// The type of the indices, uint8 or int32, decides.
template <class T, class Index>
void define_max_pool(py::module_& m) {
    def(m, "max_pool_forward", vg::max_pool_forward<T, Index>, "input"_a, "output"_a, "indices"_a,
        "kernel_size"_a, "stride"_a, "padding"_a);
    def(m, "max_pool_backward", vg::max_pool_backward<T, Index>, "grad_output"_a, "indices"_a,
        "grad_input"_a, "kernel_size"_a, "stride"_a, "padding"_a);
}

template <class T>
void define_pool(py::module_& m) {
    define_max_pool<T, std::uint8_t>(m);
    define_max_pool<T, std::int32_t>(m);
    def(m, "relu_max_pool_forward", vg::relu_max_pool_forward<T>, "input"_a, "output"_a,
        "indices"_a, "kernel_size"_a, "stride"_a, "padding"_a);
    def(m, "avg_pool_forward", vg::avg_pool_forward<T>, "input"_a, "output"_a, "kernel_size"_a,
        "stride"_a, "padding"_a, "count_include_pad"_a);
    def(m, "avg_pool_backward", vg::avg_pool_backward<T>, "grad_output"_a, "grad_input"_a,
        "kernel_size"_a, "stride"_a, "padding"_a, "count_include_pad"_a);
    def(m, "adaptive_avg_pool_forward", vg::adaptive_avg_pool_forward<T>, "input"_a, "output"_a);
    def(m, "adaptive_avg_pool_backward", vg::adaptive_avg_pool_backward<T>, "grad_output"_a,
        "grad_input"_a);
}

template <class T>
void define_shape(py::module_& m) {
    def(m, "transpose", vg::transpose<T>, "input"_a, "output"_a, "axes"_a);
    def(m, "concat", vg::concat<T>, "inputs"_a, "output"_a, "axis"_a);
    def(m, "split", vg::split<T>, "input"_a, "outputs"_a, "axis"_a);
    def(m, "slice_forward", vg::slice_forward<T>, "input"_a, "output"_a, "start"_a);
    def(m, "pad_forward", vg::pad_forward<T>, "input"_a, "output"_a, "before"_a, "mode"_a,
        "value"_a);
    def(m, "pad_backward", vg::pad_backward<T>, "grad_output"_a, "grad_input"_a, "before"_a,
        "mode"_a);
}

template <class T>
void define_interpolate(py::module_& m) {
    def(m, "interpolate_forward", vg::interpolate_forward<T>, "input"_a, "output"_a, "mode"_a,
        "align_corners"_a);
    def(m, "interpolate_backward", vg::interpolate_backward<T>, "grad_output"_a, "grad_input"_a,
        "mode"_a, "align_corners"_a);
    def(m, "resample", vg::resample<T>, "input"_a, "output"_a, "starts"_a, "positions"_a,
        "weights"_a);
}

// What images of float32 and of bfloat16 run through; the type of the arrays decides.
template <class T>
void define_image_functions(py::module_& m) {
    define_activation<T>(m);
    define_arithmetic<T>(m);
    define_dropout<T>(m);
    define_pool<T>(m);
    define_shape<T>(m);
    define_interpolate<T>(m);
}

}  // namespace

PYBIND11_MODULE(_cpu, m) {
    m.doc() = "voxelgrad's kernels for the CPU";
    define_runtime(m);
    define_image_functions<float>(m);
    define_image_functions<vg::bf16>(m);
    define_cast(m);
    define_softmax(m);
    define_loss(m);
    define_mean_loss(m);
    define_optim(m);
    define_conv<float>(m);
    define_conv<vg::bf16>(m);
    define_pooled_conv(m);
    define_augment(m);
    define_running_statistics<float>(m);
    define_running_statistics<double>(m);
    define_norm<float>(m);
    define_norm<vg::bf16>(m);
    define_norm_fold(m);
    define_conv_norm<float>(m);
    define_conv_norm<vg::bf16>(m);
    vg::define_plan(m);
}

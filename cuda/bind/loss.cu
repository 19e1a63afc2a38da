// Softmax, losses, and the faults that losses report.
#include "cuda/bind/families.hpp"
#include "cuda/ops/class_loss.cuh"
#include "cuda/ops/dice.cuh"
#include "cuda/ops/pointwise_loss.cuh"

namespace voxelgrad::cuda {
namespace {

using namespace pybind11::literals;

std::string describe(const Fault& fault) {
    constexpr const char* names[] = {"cross_entropy", "focal_loss",
                                     "dice_loss",     "binary_cross_entropy_with_logits",
                                     "mse_loss",      "l1_loss"};
    std::ostringstream text;
    text << names[fault.op] << ": ";
    switch (static_cast<FaultKind>(fault.kind)) {
        case FaultKind::none: return "";
        case FaultKind::wrong_label:
            text << "label " << fault.value << " (element " << fault.element << ") is outside [0, "
                 << fault.classes << ") and is not ignore_index " << fault.ignore_index
                 << "; correct the labels or give more classes";
            break;
        case FaultKind::nothing_counted:
            text
                << "nothing is counted, so there is no mean: all labels equal ignore_index or have "
                   "class_weight 0; leave such a batch out";
            break;
        case FaultKind::no_probability:
            text << "targets hold " << __builtin_bit_cast(float, static_cast<int>(fault.value))
                 << " (element " << fault.element
                 << "); they must be probabilities or labels in [0, 1]";
    }
    return text.str();
}

// The faults lie in an array of bytes on the device; a copy of it is described.
void define_faults(pybind11::module_& m) {
    m.attr("_fault_bytes") = sizeof(Fault);
    m.def("_set_fault_buffer",
          [](std::uintptr_t address) { fault_buffer = reinterpret_cast<Fault*>(address); });
    m.def("_describe_fault", [](const pybind11::bytes& copy) {
        const std::string_view bytes(copy);
        Fault fault{};
        if (bytes.size() != sizeof fault) throw std::invalid_argument("not a fault");
        std::copy_n(bytes.data(), sizeof fault, reinterpret_cast<char*>(&fault));
        return describe(fault);
    });
}

void define_class_losses(pybind11::module_& m) {
    def(m, "cross_entropy_forward", cross_entropy_forward, "logits"_a, "labels"_a, "class_weight"_a,
        "log_sum_exp"_a, "totals"_a, "ignore_index"_a);
    def(m, "cross_entropy_backward", cross_entropy_backward, "logits"_a, "labels"_a,
        "class_weight"_a, "log_sum_exp"_a, "totals"_a, "grad_output"_a, "grad_logits"_a,
        "ignore_index"_a);
    def(m, "focal_forward", focal_forward, "logits"_a, "labels"_a, "class_weight"_a, "totals"_a,
        "gamma"_a, "ignore_index"_a);
    def(m, "focal_backward", focal_backward, "logits"_a, "labels"_a, "class_weight"_a, "totals"_a,
        "grad_output"_a, "grad_logits"_a, "gamma"_a, "ignore_index"_a);
    def(m, "dice_sums", dice_sums, "probabilities"_a, "labels"_a, "sums"_a, "ignore_index"_a);
    def(m, "dice_score", dice_score, "sums"_a, "dice"_a, "denominator"_a, "output"_a, "smooth"_a,
        "include_background"_a);
    def(m, "dice_coefficients", dice_coefficients, "dice"_a, "denominator"_a, "grad_output"_a,
        "coefficient_intersection"_a, "coefficient_sum"_a, "include_background"_a);
    def(m, "dice_backward", dice_backward, "labels"_a, "coefficient_intersection"_a,
        "coefficient_sum"_a, "grad_probabilities"_a, "ignore_index"_a);
}

}  // namespace

void define_loss(pybind11::module_& m) {
    define_faults(m);
    def(m, "softmax_forward", softmax_forward, "input"_a, "output"_a, "log"_a);
    def(m, "softmax_backward", softmax_backward, "grad_output"_a, "output"_a, "grad_input"_a,
        "log"_a);
    define_class_losses(m);
    def(m, "bce_with_logits_forward", bce_with_logits_forward, "logits"_a, "targets"_a, "totals"_a,
        "pos_weight"_a);
    def(m, "bce_with_logits_backward", bce_with_logits_backward, "logits"_a, "targets"_a,
        "totals"_a, "grad_output"_a, "grad_logits"_a, "pos_weight"_a);
    def(m, "distance_forward", distance_forward, "kind"_a, "input"_a, "target"_a, "totals"_a);
    def(m, "distance_backward", distance_backward, "kind"_a, "input"_a, "target"_a, "totals"_a,
        "grad_output"_a, "grad_input"_a);
    def(m, "mean_of_totals", mean_of_totals, "op"_a, "totals"_a, "output"_a);
    def(m, "check_probabilities", check_probabilities, "op"_a, "targets"_a);
}

}  // namespace voxelgrad::cuda

// Losses that are weighted means; semantics as in cpp/ops/mean_loss.hpp, but what is wrong with the
// numbers is reported as a fault.
#pragma once

#include <cmath>
#include <string>

#include "cuda/core/faults.hpp"
#include "cuda/core/launch.hpp"
#include "ops/labels.hpp"

namespace voxelgrad::cuda {

inline FaultOp fault_op(const std::string& name) {
    if (name == "cross_entropy") return FaultOp::cross_entropy;
    if (name == "focal_loss") return FaultOp::focal_loss;
    if (name == "dice_loss") return FaultOp::dice_loss;
    if (name == "binary_cross_entropy_with_logits") return FaultOp::binary_cross_entropy;
    return name == "mse_loss" ? FaultOp::mse : FaultOp::l1;
}

// Grad_output and totals are known to the device only. Every thread divides, so in float: most
// devices divide doubles at a small part of the rate.
__device__ inline float mean_scale(const float* grad_output, const double* totals) {
    return *grad_output / static_cast<float>(totals[1]);
}

inline void check_mean_gradient(const char* op, const View<const float>& grad_output,
                                const View<const double>& totals) {
    check_totals(op, totals);
    check(grad_output.size() == 1, op, ": grad_output ", grad_output, " must be a single number");
}

// The class numbers of rows, and what to do with those that are none.
struct Labels {
    const std::int64_t* data;
    std::int64_t classes, ignore_index;
    Fault* faults;
    FaultOp op;

    // The class of a row; -1 where it does not count.
    __device__ std::int64_t of(std::int64_t row) const {
        const std::int64_t label = data[row];
        return label == ignore_index || !is_class(label) ? -1 : label;
    }
    // Whether the row holds a number that is no class; reports it.
    __device__ bool is_wrong(std::int64_t row) const {
        const std::int64_t label = data[row];
        if (label == ignore_index || is_class(label)) return false;
        report(faults, {static_cast<int>(FaultKind::wrong_label), static_cast<int>(op), row, label,
                        classes, ignore_index});
        return true;
    }
    __device__ bool is_class(std::int64_t label) const { return label >= 0 && label < classes; }
};

static __global__ void mean_kernel(FaultOp op, const double* totals, Fault* faults, float* output) {
    if (!(totals[1] > 0.0) && totals[1] == totals[1])
        report(faults,
               {static_cast<int>(FaultKind::nothing_counted), static_cast<int>(op), 0, 0, 0, 0});
    *output = static_cast<float>(totals[0] / totals[1]);
}

inline void mean_of_totals(Stream stream, const std::string& op, View<const double> totals,
                           View<float> output) {
    check_totals(op.c_str(), totals);
    check(output.size() == 1, op, ": output ", output, " must be a single number");
    launch("mean_of_totals", stream, {dim3(1), dim3(1)}, mean_kernel, fault_op(op), totals.data,
           fault_buffer, output.data);
}

static __global__ void check_probabilities_kernel(FaultOp op, const float* targets,
                                                  std::int64_t count, Fault* faults) {
    const std::int64_t i = std::int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= count) return;
    if (targets[i] >= 0.0f && targets[i] <= 1.0f) return;  // NaN is not
    report(faults, {static_cast<int>(FaultKind::no_probability), static_cast<int>(op), i,
                    __float_as_int(targets[i]), 0, 0});
}

inline void check_probabilities(Stream stream, const std::string& op, View<const float> targets) {
    launch("check_probabilities", stream, threads_for(targets.size()), check_probabilities_kernel,
           fault_op(op), targets.data, targets.size(), fault_buffer);
}

}  // namespace voxelgrad::cuda

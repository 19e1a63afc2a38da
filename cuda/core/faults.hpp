// Mistakes in numbers that only the device sees: a label that is no class, a mean of nothing.
//
// A kernel cannot raise an error and the host does not wait for it. So a kernel writes its fault
// into device memory, if none is there yet, and goes on with NaN; the host looks when it next waits
// for a result (CudaBackend.to_host, synchronize).
#pragma once

#include <cstdint>

#include "cuda/core/platform.hpp"

namespace voxelgrad::cuda {

enum class FaultKind : int { none, wrong_label, nothing_counted, no_probability };

// Which op met it; fault_op_names has their names.
enum class FaultOp : int { cross_entropy, focal_loss, dice_loss, binary_cross_entropy, mse, l1 };

struct Fault {
    int kind, op;
    std::int64_t element;  // of the labels or targets
    std::int64_t value;    // the label, or the bits of a float
    std::int64_t classes, ignore_index;
};

// Device memory of one Fault, zero at first; the binding gives it.
inline Fault* fault_buffer = nullptr;

__device__ inline void report(Fault* buffer, const Fault& fault) {
    if (atomicCAS(&buffer->kind, 0, fault.kind) != 0) return;
    buffer->op = fault.op;
    buffer->element = fault.element;
    buffer->value = fault.value;
    buffer->classes = fault.classes;
    buffer->ignore_index = fault.ignore_index;
}

}  // namespace voxelgrad::cuda

// Softmax and its logarithm over the last axis; semantics as in cpp/ops/softmax.hpp.
#pragma once

#include <cmath>

#include "core/check.hpp"
#include "cuda/core/groups.hpp"

namespace voxelgrad::cuda {

// What all scores of a row have in common; every lane of the group gets it.
struct RowScale {
    float shift, total;  // the largest score, and the sum of exp(score - shift)
};

// Every thread of the warp must call it; a row of length 0 is none.
__device__ inline RowScale row_scale(const float* row, std::int64_t length, int lane, int lanes) {
    float largest = -INFINITY;
    for (std::int64_t k = lane; k < length; k += lanes)
        largest = row[k] > largest || row[k] != row[k] ? row[k] : largest;
    const float shift = group_largest(largest, lanes);
    float total = 0.0f;
    for (std::int64_t k = lane; k < length; k += lanes) total += expf(row[k] - shift);
    return {shift, group_sum(total, lanes)};
}

static __global__ void softmax_kernel(LaneRows all, std::int64_t classes, bool log,
                                      const float* input, float* output) {
    const int lane = threadIdx.x % all.lanes;
    const std::int64_t row =
        std::int64_t(blockIdx.x) * all.rows_a_block() + threadIdx.x / all.lanes;
    const std::int64_t length = row < all.rows ? classes : 0;
    const float* const scores = input + row * classes;
    const RowScale scale = row_scale(scores, length, lane, all.lanes);
    const float log_total = logf(scale.total), factor = 1.0f / scale.total;
    for (std::int64_t k = lane; k < length; k += all.lanes) {
        const float shifted = scores[k] - scale.shift;
        output[row * classes + k] = log ? shifted - log_total : expf(shifted) * factor;
    }
}

// softmax: y * (g - sum(g * y)); its logarithm y: g - exp(y) * sum(g).
static __global__ void softmax_gradient_kernel(LaneRows all, std::int64_t classes, bool log,
                                               const float* grad_output, const float* output,
                                               float* grad_input) {
    const int lane = threadIdx.x % all.lanes;
    const std::int64_t row =
        std::int64_t(blockIdx.x) * all.rows_a_block() + threadIdx.x / all.lanes;
    const std::int64_t length = row < all.rows ? classes : 0, first = row * classes;
    float sum = 0.0f;
    for (std::int64_t k = lane; k < length; k += all.lanes)
        sum += log ? grad_output[first + k] : grad_output[first + k] * output[first + k];
    const float total = group_sum(sum, all.lanes);
    for (std::int64_t k = lane; k < length; k += all.lanes) {
        const float g = grad_output[first + k], y = output[first + k];
        grad_input[first + k] = log ? g - expf(y) * total : y * (g - total);
    }
}

inline void softmax_forward(Stream stream, View<const float> input, View<float> output, bool log) {
    check_same_shape("softmax_forward", "input", input, "output", output);
    check(input.rank > 0, "softmax_forward: input is a single number; it needs a last axis");
    if (input.size() == 0) return;
    const LaneRows all(input.count(0, input.rank - 1), input.last());
    launch("softmax_forward", stream, all.grid(), softmax_kernel, all, input.last(), log,
           input.data, output.data);
}

inline void softmax_backward(Stream stream, View<const float> grad_output, View<const float> output,
                             View<float> grad_input, bool log) {
    check_same_shape("softmax_backward", "grad_output", grad_output, "output", output);
    check_same_shape("softmax_backward", "grad_output", grad_output, "grad_input", grad_input);
    check(output.rank > 0, "softmax_backward: output is a single number; it needs a last axis");
    if (output.size() == 0) return;
    const LaneRows all(output.count(0, output.rank - 1), output.last());
    launch("softmax_backward", stream, all.grid(), softmax_gradient_kernel, all, output.last(), log,
           grad_output.data, output.data, grad_input.data);
}

}  // namespace voxelgrad::cuda

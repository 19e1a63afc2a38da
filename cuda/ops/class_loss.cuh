// Cross-entropy and focal loss; semantics as in cpp/ops/cross_entropy.hpp and focal.hpp.
#pragma once

#include "cuda/core/totals.hpp"
#include "cuda/ops/mean_loss.cuh"
#include "cuda/ops/softmax.cuh"

namespace voxelgrad::cuda {

// x^exponent for 0 <= x <= 1; 1 for exponent 0, also at x = 0. Small whole exponents are products.
__device__ inline float unit_power(float x, float exponent) {
    if (exponent == 0.0f) return 1.0f;
    if (exponent == 1.0f) return x;
    if (exponent == 2.0f) return x * x;
    return powf(x, exponent);
}

// Rows of scores with their labels; class_weight may be null.
struct ClassRows {
    const float* logits;
    const float* class_weight;
    Labels labels;

    __device__ float weight_of(std::int64_t label) const {
        if (label < 0) return 0.0f;
        return class_weight ? class_weight[label] : 1.0f;
    }
    __device__ const float* row(std::int64_t number) const {
        return logits + number * labels.classes;
    }
};

struct CrossEntropyTerms {
    ClassRows rows;
    float* log_sum_exp;

    __device__ Totals operator()(std::int64_t row, bool exists, int lane, int lanes) const {
        const float* const scores = rows.row(row);
        const RowScale scale = row_scale(scores, exists ? rows.labels.classes : 0, lane, lanes);
        if (!exists || lane != 0) return {0.0, 0.0};
        const float log_total = logf(scale.total);
        log_sum_exp[row] = scale.shift + log_total;
        if (rows.labels.is_wrong(row)) return {NAN, 0.0};
        const std::int64_t label = rows.labels.of(row);
        if (label < 0) return {0.0, 0.0};
        const float weight = rows.weight_of(label);
        return {weight * ((scale.shift - scores[label]) + log_total), weight};
    }
};

static __global__ void cross_entropy_gradient_kernel(LaneRows all, ClassRows rows,
                                                     const float* log_sum_exp, const double* totals,
                                                     const float* grad_output, float* grad_logits) {
    const std::int64_t row =
        std::int64_t(blockIdx.x) * all.rows_a_block() + threadIdx.x / all.lanes;
    if (row >= all.rows) return;
    const std::int64_t label = rows.labels.of(row), classes = rows.labels.classes;
    const float scale = mean_scale(grad_output, totals) * rows.weight_of(label);
    for (std::int64_t k = threadIdx.x % all.lanes; k < classes; k += all.lanes) {
        const float own = k == label ? 1.0f : 0.0f;
        const float grad = scale * (expf(rows.row(row)[k] - log_sum_exp[row]) - own);
        grad_logits[row * classes + k] = label < 0 ? 0.0f : grad;
    }
}

// What softmax says about a row's own class p.
struct OwnClass {
    float log_p, miss;  // miss is 1 - p without cancellation

    __device__ OwnClass(float score, const RowScale& scale) {
        const float exact = (score - scale.shift) - logf(scale.total);
        log_p = exact > 0.0f ? 0.0f : exact;  // rounding may lift it; NaN stays NaN
        miss = -expm1f(log_p);
    }
    // d loss / d log p. The product with the power tends to 0 with `miss`, where the power alone
    // may be infinite.
    __device__ float slope(float gamma) const {
        const float through_power =
            miss > 0.0f ? gamma * unit_power(miss, gamma - 1.0f) * expf(log_p) * log_p : 0.0f;
        return through_power - unit_power(miss, gamma);
    }
};

struct FocalTerms {
    ClassRows rows;
    float gamma;

    __device__ Totals operator()(std::int64_t row, bool exists, int lane, int lanes) const {
        const float* const scores = rows.row(row);
        const RowScale scale = row_scale(scores, exists ? rows.labels.classes : 0, lane, lanes);
        if (!exists || lane != 0) return {0.0, 0.0};
        if (rows.labels.is_wrong(row)) return {NAN, 0.0};
        const std::int64_t label = rows.labels.of(row);
        if (label < 0) return {0.0, 0.0};
        const OwnClass own(scores[label], scale);
        const float weight = rows.weight_of(label);
        return {weight * unit_power(own.miss, gamma) * -own.log_p, weight};
    }
};

static __global__ void focal_gradient_kernel(LaneRows all, ClassRows rows, float gamma,
                                             const double* totals, const float* grad_output,
                                             float* grad_logits) {
    const int lane = threadIdx.x % all.lanes;
    const std::int64_t row =
        std::int64_t(blockIdx.x) * all.rows_a_block() + threadIdx.x / all.lanes;
    const bool exists = row < all.rows;
    const std::int64_t classes = rows.labels.classes;
    const float* const scores = rows.row(row);
    const RowScale scale = row_scale(scores, exists ? classes : 0, lane, all.lanes);
    if (!exists) return;
    const std::int64_t label = rows.labels.of(row);
    float factor = 0.0f;
    if (label >= 0)
        factor = mean_scale(grad_output, totals) * rows.weight_of(label) *
                 OwnClass(scores[label], scale).slope(gamma);
    const float log_total = logf(scale.total);
    for (std::int64_t k = lane; k < classes; k += all.lanes) {
        const float p = expf((scores[k] - scale.shift) - log_total);
        const float grad = factor * ((k == label ? 1.0f : 0.0f) - p);
        grad_logits[row * classes + k] = label < 0 ? 0.0f : grad;
    }
}

inline ClassRows class_rows(const char* op, const View<const float>& logits,
                            const View<const std::int64_t>& labels,
                            const OptionalView<const float>& class_weight,
                            std::int64_t ignore_index, FaultOp fault) {
    check_label_shape(op, "logits", logits, labels);
    check_class_weight(op, class_weight, logits.last());
    return {logits.data,
            class_weight.data,
            {labels.data, logits.last(), ignore_index, fault_buffer, fault}};
}

inline void cross_entropy_forward(Stream stream, View<const float> logits,
                                  View<const std::int64_t> labels,
                                  OptionalView<const float> class_weight, View<float> log_sum_exp,
                                  View<double> totals, std::int64_t ignore_index) {
    constexpr const char* op = "cross_entropy";
    const ClassRows rows =
        class_rows(op, logits, labels, class_weight, ignore_index, FaultOp::cross_entropy);
    check_same_shape(op, "labels", labels, "log_sum_exp", log_sum_exp);
    check_totals(op, totals);
    sum_totals(op, stream, CrossEntropyTerms{rows, log_sum_exp.data},
               LaneRows(labels.size(), logits.last()), totals);
}

inline void cross_entropy_backward(Stream stream, View<const float> logits,
                                   View<const std::int64_t> labels,
                                   OptionalView<const float> class_weight,
                                   View<const float> log_sum_exp, View<const double> totals,
                                   View<const float> grad_output, View<float> grad_logits,
                                   std::int64_t ignore_index) {
    constexpr const char* op = "cross_entropy_backward";
    const ClassRows rows =
        class_rows(op, logits, labels, class_weight, ignore_index, FaultOp::cross_entropy);
    check_same_shape(op, "labels", labels, "log_sum_exp", log_sum_exp);
    check_same_shape(op, "logits", logits, "grad_logits", grad_logits);
    check_mean_gradient(op, grad_output, totals);
    const LaneRows all(labels.size(), logits.last());
    launch(op, stream, all.grid(), cross_entropy_gradient_kernel, all, rows, log_sum_exp.data,
           totals.data, grad_output.data, grad_logits.data);
}

inline void focal_forward(Stream stream, View<const float> logits, View<const std::int64_t> labels,
                          OptionalView<const float> class_weight, View<double> totals, double gamma,
                          std::int64_t ignore_index) {
    constexpr const char* op = "focal_loss";
    const ClassRows rows =
        class_rows(op, logits, labels, class_weight, ignore_index, FaultOp::focal_loss);
    check_totals(op, totals);
    sum_totals(op, stream, FocalTerms{rows, static_cast<float>(gamma)},
               LaneRows(labels.size(), logits.last()), totals);
}

inline void focal_backward(Stream stream, View<const float> logits, View<const std::int64_t> labels,
                           OptionalView<const float> class_weight, View<const double> totals,
                           View<const float> grad_output, View<float> grad_logits, double gamma,
                           std::int64_t ignore_index) {
    constexpr const char* op = "focal_backward";
    const ClassRows rows =
        class_rows(op, logits, labels, class_weight, ignore_index, FaultOp::focal_loss);
    check_same_shape(op, "logits", logits, "grad_logits", grad_logits);
    check_mean_gradient(op, grad_output, totals);
    const LaneRows all(labels.size(), logits.last());
    launch(op, stream, all.grid(), focal_gradient_kernel, all, rows, static_cast<float>(gamma),
           totals.data, grad_output.data, grad_logits.data);
}

}  // namespace voxelgrad::cuda

// Losses of two arrays, element by element; semantics as in cpp/ops/pointwise_loss.hpp.
#pragma once

#include "cuda/core/map.hpp"
#include "cuda/core/totals.hpp"
#include "cuda/ops/activation_functions.cuh"
#include "cuda/ops/mean_loss.cuh"
#include "ops/kind_names.hpp"

namespace voxelgrad::cuda {

__device__ inline float sigmoid(float x) { return activation_value<Activation::sigmoid>(x, 0.0f); }

struct BinaryCrossEntropy {
    float pos_weight;
    // pos_weight * t * softplus(-x) + (1 - t) * softplus(x)
    __device__ float operator()(float x, float t) const {
        const float common = log1pf(expf(-fabsf(x)));
        return pos_weight * t * (fmaxf(-x, 0.0f) + common) + (1.0f - t) * (fmaxf(x, 0.0f) + common);
    }
};

template <Distance kind>
struct DistanceValue {
    __device__ float operator()(float a, float b) const {
        return kind == Distance::l1 ? fabsf(a - b) : (a - b) * (a - b);
    }
};

template <class Loss>
struct PointwiseTerms {
    Loss loss;
    const float* a;
    const float* b;
    __device__ Totals operator()(std::int64_t i, bool exists, int, int) const {
        return exists ? Totals{loss(a[i], b[i]), 1.0} : Totals{0.0, 0.0};
    }
};

struct BinaryCrossEntropyGradient {
    float pos_weight;
    const double* totals;
    const float* grad_output;
    __device__ float operator()(float x, float t) const {
        return mean_scale(grad_output, totals) *
               ((1.0f - t) * sigmoid(x) - pos_weight * t * sigmoid(-x));
    }
};

template <Distance kind>
struct DistanceGradient {
    const double* totals;
    const float* grad_output;
    __device__ float operator()(float a, float b) const {
        const float scale = mean_scale(grad_output, totals), difference = a - b;
        if constexpr (kind == Distance::mse) return 2.0f * scale * difference;
        // Zero stays zero and NaN stays NaN.
        if (difference > 0.0f) return scale;
        return difference < 0.0f ? -scale : difference;
    }
};

template <class Loss>
void pointwise_forward(const char* op, Stream stream, const Loss& loss, const View<const float>& a,
                       const View<const float>& b, const View<double>& totals) {
    check_totals(op, totals);
    sum_totals(op, stream, PointwiseTerms<Loss>{loss, a.data, b.data}, LaneRows(a.size(), 1),
               totals);
}

inline void bce_with_logits_forward(Stream stream, View<const float> logits,
                                    View<const float> targets, View<double> totals,
                                    double pos_weight) {
    constexpr const char* op = "bce_with_logits_forward";
    check_same_shape(op, "logits", logits, "targets", targets);
    pointwise_forward(op, stream, BinaryCrossEntropy{static_cast<float>(pos_weight)}, logits,
                      targets, totals);
}

inline void bce_with_logits_backward(Stream stream, View<const float> logits,
                                     View<const float> targets, View<const double> totals,
                                     View<const float> grad_output, View<float> grad_logits,
                                     double pos_weight) {
    constexpr const char* op = "bce_with_logits_backward";
    check_same_shape(op, "logits", logits, "targets", targets);
    check_same_shape(op, "logits", logits, "grad_logits", grad_logits);
    check_mean_gradient(op, grad_output, totals);
    const BinaryCrossEntropyGradient gradient{static_cast<float>(pos_weight), totals.data,
                                              grad_output.data};
    map(op, stream, gradient, logits.size(), grad_logits.data, logits.data, targets.data);
}

inline void distance_forward(Stream stream, const std::string& kind, View<const float> input,
                             View<const float> target, View<double> totals) {
    constexpr const char* op = "distance_forward";
    check_same_shape(op, "input", input, "target", target);
    if (distance_kind(kind) == Distance::mse)
        pointwise_forward(op, stream, DistanceValue<Distance::mse>{}, input, target, totals);
    else
        pointwise_forward(op, stream, DistanceValue<Distance::l1>{}, input, target, totals);
}

inline void distance_backward(Stream stream, const std::string& kind, View<const float> input,
                              View<const float> target, View<const double> totals,
                              View<const float> grad_output, View<float> grad_input) {
    constexpr const char* op = "distance_backward";
    check_same_shape(op, "input", input, "target", target);
    check_same_shape(op, "input", input, "grad_input", grad_input);
    check_mean_gradient(op, grad_output, totals);
    const auto run = [&](const auto& gradient) {
        map(op, stream, gradient, input.size(), grad_input.data, input.data, target.data);
    };
    if (distance_kind(kind) == Distance::mse)
        run(DistanceGradient<Distance::mse>{totals.data, grad_output.data});
    else
        run(DistanceGradient<Distance::l1>{totals.data, grad_output.data});
}

}  // namespace voxelgrad::cuda

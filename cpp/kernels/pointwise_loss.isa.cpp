#include "kernels/pointwise_loss.hpp"

#include "kernels/math.hpp"
#include "kernels/wide.hpp"

namespace voxelgrad::VOXELGRAD_ISA {
namespace {

// The sum of loss(a[i], b[i]); lanes beyond the end add nothing.
template <class Loss>
[[gnu::always_inline]] inline double sum_of(const float* a, const float* b, std::int64_t count,
                                            Loss loss) {
    WideSum total;
    for_each_vector(count, [&](std::int64_t i, int n) __attribute__((always_inline)) {
        Vec value = loss(load_some(a + i, n), load_some(b + i, n));
        for (int lane = n; lane < lanes; ++lane) value[lane] = 0.0f;
        total.add(value);
    });
    return total.total();
}

template <class Slope>
[[gnu::always_inline]] inline void write_slopes(const float* a, const float* b, float* output,
                                                std::int64_t count, Slope slope) {
    for_each_vector(count, [=](std::int64_t i, int n) __attribute__((always_inline)) {
        store_some(output + i, slope(load_some(a + i, n), load_some(b + i, n)), n);
    });
}

// pos_weight * t * softplus(-x) + (1 - t) * softplus(x)
double bce(const float* logits, const float* targets, std::int64_t count, float pos_weight) {
    return sum_of(logits, targets, count, [=](Vec x, Vec t) __attribute__((always_inline)) {
        const Vec common = log1p(exp(-abs(x))), zero = splat(0.0f);
        return pos_weight * t * (max(-x, zero) + common) + (1.0f - t) * (max(x, zero) + common);
    });
}

void bce_backward(const float* logits, const float* targets, float* grad_logits, std::int64_t count,
                  float pos_weight, float grad_scale) {
    write_slopes(logits, targets, grad_logits, count,
                 [=](Vec x, Vec t) __attribute__((always_inline)) {
                     return grad_scale * ((1.0f - t) * sigmoid(x) - pos_weight * t * sigmoid(-x));
                 });
}

double distance(Distance kind, const float* input, const float* target, std::int64_t count) {
    if (kind == Distance::l1)
        return sum_of(input, target, count,
                      [](Vec a, Vec b) __attribute__((always_inline)) { return abs(a - b); });
    return sum_of(input, target, count,
                  [](Vec a, Vec b) __attribute__((always_inline)) { return (a - b) * (a - b); });
}

void distance_backward(Distance kind, const float* input, const float* target, float* grad_input,
                       std::int64_t count, float grad_scale) {
    const float twice = 2.0f * grad_scale;
    if (kind == Distance::mse)
        return write_slopes(input, target, grad_input, count,
                            [=](Vec a, Vec b)
                                __attribute__((always_inline)) { return twice * (a - b); });
    write_slopes(input, target, grad_input, count,
                 [=](Vec a, Vec b) __attribute__((always_inline)) {
                     const Vec difference = a - b;
                     const Vec scale = splat(grad_scale);
                     // Zero stays zero and NaN stays NaN.
                     const Vec falling = difference < 0.0f ? -scale : difference;
                     return difference > 0.0f ? scale : falling;
                 });
}

}  // namespace

extern const PointwiseLossKernels pointwise_loss = {bce, bce_backward, distance, distance_backward};

}  // namespace voxelgrad::VOXELGRAD_ISA

#include "kernels/optim.hpp"

#include "kernels/math.hpp"
#include "kernels/wide.hpp"

namespace voxelgrad::VOXELGRAD_ISA {
namespace {

void sgd(const SgdStep& step, float* param, const float* grad, float* buffer, std::int64_t count) {
    const SgdStep s = step;
    for_each_vector(count, [=](std::int64_t i, int n) __attribute__((always_inline)) {
        const Vec p = load_some(param + i, n);
        Vec direction = load_some(grad + i, n) + s.weight_decay * p;
        if (buffer != nullptr) {
            const Vec velocity = s.momentum * load_some(buffer + i, n) + direction;
            store_some(buffer + i, velocity, n);
            direction = s.nesterov ? direction + s.momentum * velocity : velocity;
        }
        store_some(param + i, p - s.lr * direction, n);
    });
}

void adam(const AdamStep& step, float* param, const float* grad, float* exp_avg, float* exp_avg_sq,
          std::int64_t count) {
    const AdamStep s = step;
    for_each_vector(count, [=](std::int64_t i, int n) __attribute__((always_inline)) {
        const Vec p = load_some(param + i, n);
        const Vec g = load_some(grad + i, n) + s.l2 * p;
        const Vec m = s.beta1 * load_some(exp_avg + i, n) + s.one_minus_beta1 * g;
        const Vec v = s.beta2 * load_some(exp_avg_sq + i, n) + s.one_minus_beta2 * g * g;
        store_some(exp_avg + i, m, n);
        store_some(exp_avg_sq + i, v, n);
        const Vec denominator = sqrt(v) * s.inverse_correction + s.eps;
        store_some(param + i, s.keep * p - s.step_size * m / denominator, n);
    });
}

double sum_of_squares(const float* input, std::int64_t count) {
    WideSum total;
    for_each_vector(count, [&](std::int64_t i, int n) __attribute__((always_inline)) {
        total.add_square(load_some(input + i, n));
    });
    return total.total();
}

void scale(float* values, std::int64_t count, float factor) {
    for_each_vector(count, [=](std::int64_t i, int n) __attribute__((always_inline)) {
        store_some(values + i, load_some(values + i, n) * factor, n);
    });
}

bool all_finite(const float* values, std::int64_t count) {
    IntVec found{};
    for_each_vector(count, [&](std::int64_t i, int n) __attribute__((always_inline)) {
        const Vec v = load_some(values + i, n);
        found |= ((IntVec)v & 0x7F800000) == 0x7F800000;
    });
    int any = 0;
    for (int lane = 0; lane < lanes; ++lane) any |= found[lane];
    return any == 0;
}

}  // namespace

extern const OptimKernels optim = {sgd, adam, sum_of_squares, scale, all_finite};

}  // namespace voxelgrad::VOXELGRAD_ISA

#include "kernels/focal.hpp"

#include "kernels/class_tile.hpp"
#include "kernels/wide.hpp"

namespace voxelgrad::VOXELGRAD_ISA {
namespace {

// x^exponent for 0 <= x <= 1; 1 for exponent 0, also at x = 0. Small whole exponents are products.
[[gnu::always_inline]] inline Vec power(Vec x, float exponent) {
    if (exponent == 0.0f) return splat(1.0f);
    if (exponent == 1.0f) return x;
    if (exponent == 2.0f) return x * x;
    return exp(exponent * log(x));
}

// What softmax says about the own class p of each lane's row.
struct Own {
    Vec log_p;
    Vec miss;  // 1 - p without cancellation
};

[[gnu::always_inline]] inline Own own_class(const float* column, std::int64_t classes,
                                            std::int64_t pitch, IntVec label, Vec shift,
                                            Vec log_total) {
    const Vec log_p = (own_score(column, classes, pitch, label) - shift) - log_total;
    // Rounding may lift log p just above 0.
    const Vec negative = log_p > 0.0f ? splat(0.0f) : log_p;
    return {negative, -expm1_negative(negative)};
}

void forward(const float* logits, const std::int64_t* labels, const float* class_weight,
             std::int64_t rows, std::int64_t classes, float gamma, std::int64_t ignore_index,
             float* tile, double* totals) {
    const std::int64_t pitch = tile_rows(classes);
    WideSum losses, weights;
    for (std::int64_t first = 0; first < rows; first += pitch) {
        const std::int64_t count = least(pitch, rows - first);
        const TileLabels tile_labels(labels + first, count, ignore_index);
        load_tile(logits + first * classes, count, classes, tile);
        for (std::int64_t row = 0; row < count; row += lanes) {
            const float* const column = tile + row;
            const IntVec label = tile_labels.at(row);
            const Vec shift = largest(column, classes, pitch);
            const Vec log_total = log(sum_of_exp(column, classes, pitch, shift));
            const Own own = own_class(column, classes, pitch, label, shift, log_total);
            const Vec weight = own_weight(class_weight, classes, label);
            const Vec loss = power(own.miss, gamma) * -own.log_p;
            losses.add(label >= 0 ? weight * loss : splat(0.0f));
            weights.add(weight);
        }
    }
    totals[0] = losses.total();
    totals[1] = weights.total();
}

// d loss / d log p. The product with the power tends to 0 with `miss`, where the power alone may be
// infinite.
[[gnu::always_inline]] inline Vec slope(const Own& own, float gamma) {
    const Vec safe = own.miss > 0.0f ? own.miss : splat(1.0f);
    const Vec through_power = gamma * power(safe, gamma - 1.0f) * exp(own.log_p) * own.log_p;
    return (own.miss > 0.0f ? through_power : splat(0.0f)) - power(own.miss, gamma);
}

void backward(const float* logits, const std::int64_t* labels, const float* class_weight,
              float* grad_logits, std::int64_t rows, std::int64_t classes, float gamma,
              std::int64_t ignore_index, float grad_scale, float* tile) {
    const std::int64_t pitch = tile_rows(classes);
    for (std::int64_t first = 0; first < rows; first += pitch) {
        const std::int64_t count = least(pitch, rows - first);
        const TileLabels tile_labels(labels + first, count, ignore_index);
        load_tile(logits + first * classes, count, classes, tile);
        for (std::int64_t row = 0; row < count; row += lanes) {
            float* const column = tile + row;
            const IntVec label = tile_labels.at(row);
            const Vec shift = largest(column, classes, pitch);
            const Vec log_total = log(sum_of_exp(column, classes, pitch, shift));
            const Own own = own_class(column, classes, pitch, label, shift, log_total);
            const Vec weight = own_weight(class_weight, classes, label);
            const Vec scale = grad_scale * weight * slope(own, gamma);
            for (std::int64_t k = 0; k < classes; ++k) {
                const Vec p = exp((load(column + k * pitch) - shift) - log_total);
                const Vec is_own = label == static_cast<int>(k) ? splat(1.0f) : splat(0.0f);
                const Vec grad = scale * (is_own - p);
                store(column + k * pitch, label >= 0 ? grad : splat(0.0f));
            }
        }
        store_tile(tile, count, classes, grad_logits + first * classes);
    }
}

}  // namespace

extern const FocalKernels focal = {forward, backward};

}  // namespace voxelgrad::VOXELGRAD_ISA

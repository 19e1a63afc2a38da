#include "kernels/cross_entropy.hpp"

#include "kernels/class_tile.hpp"
#include "kernels/wide.hpp"

namespace voxelgrad::VOXELGRAD_ISA {
namespace {

void forward(const float* logits, const std::int64_t* labels, const float* class_weight,
             float* log_sum_exp, std::int64_t rows, std::int64_t classes, std::int64_t ignore_index,
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
            store_some(log_sum_exp + first + row, shift + log_total, count - row);

            const Vec weight = own_weight(class_weight, classes, label);
            const Vec loss = (shift - own_score(column, classes, pitch, label)) + log_total;
            // An ignored row adds nothing even where its scores are infinite.
            losses.add(label >= 0 ? weight * loss : splat(0.0f));
            weights.add(weight);
        }
    }
    totals[0] = losses.total();
    totals[1] = weights.total();
}

void backward(const float* logits, const std::int64_t* labels, const float* class_weight,
              const float* log_sum_exp, float* grad_logits, std::int64_t rows, std::int64_t classes,
              std::int64_t ignore_index, float grad_scale, float* tile) {
    const std::int64_t pitch = tile_rows(classes);
    for (std::int64_t first = 0; first < rows; first += pitch) {
        const std::int64_t count = least(pitch, rows - first);
        const TileLabels tile_labels(labels + first, count, ignore_index);
        load_tile(logits + first * classes, count, classes, tile);
        for (std::int64_t row = 0; row < count; row += lanes) {
            const IntVec label = tile_labels.at(row);
            const Vec scale = grad_scale * own_weight(class_weight, classes, label);
            const Vec total = load_some(log_sum_exp + first + row, count - row);
            for (std::int64_t k = 0; k < classes; ++k) {
                float* const score = tile + k * pitch + row;
                const Vec own = label == static_cast<int>(k) ? splat(1.0f) : splat(0.0f);
                const Vec grad = scale * (exp(load(score) - total) - own);
                store(score, label >= 0 ? grad : splat(0.0f));
            }
        }
        store_tile(tile, count, classes, grad_logits + first * classes);
    }
}

}  // namespace

extern const CrossEntropyKernels cross_entropy = {forward, backward};

}  // namespace voxelgrad::VOXELGRAD_ISA

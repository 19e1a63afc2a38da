#include "kernels/dice.hpp"

#include "kernels/class_tile.hpp"
#include "kernels/wide.hpp"

namespace voxelgrad::VOXELGRAD_ISA {
namespace {

// Adds the rows of one tile for class k. At most max_tile_rows / lanes numbers are added in float
// before they go on in double.
[[gnu::always_inline]] inline void add_class(const float* column, const TileLabels& labels,
                                             std::int64_t count, int k, double* sums) {
    const Vec zero = splat(0.0f);
    Vec own{}, all{}, number{};
    for (std::int64_t row = 0; row < count; row += lanes) {
        const IntVec label = labels.at(row);
        const Vec p = load(column + row);
        own += label == k ? p : zero;
        all += label >= 0 ? p : zero;
        number += label == k ? splat(1.0f) : zero;
    }
    sums[0] += static_cast<double>(sum(own));
    sums[1] += static_cast<double>(sum(all));
    sums[2] += static_cast<double>(sum(number));
}

void add_sums(const float* probabilities, const std::int64_t* labels, std::int64_t rows,
              std::int64_t classes, std::int64_t ignore_index, float* tile, double* sums) {
    const std::int64_t pitch = tile_rows(classes);
    for (std::int64_t first = 0; first < rows; first += pitch) {
        const std::int64_t count = least(pitch, rows - first);
        const TileLabels tile_labels(labels + first, count, ignore_index);
        load_tile(probabilities + first * classes, count, classes, tile);
        for (std::int64_t k = 0; k < classes; ++k)
            add_class(tile + k * pitch, tile_labels, count, static_cast<int>(k), sums + 3 * k);
    }
}

void backward(const std::int64_t* labels, const float* intersection, const float* total,
              float* grad_probabilities, std::int64_t rows, std::int64_t classes,
              std::int64_t ignore_index, float* tile) {
    const std::int64_t pitch = tile_rows(classes);
    for (std::int64_t first = 0; first < rows; first += pitch) {
        const std::int64_t count = least(pitch, rows - first);
        const TileLabels tile_labels(labels + first, count, ignore_index);
        for (std::int64_t k = 0; k < classes; ++k) {
            const Vec other = splat(total[k]), own = splat(total[k] + intersection[k]);
            for (std::int64_t row = 0; row < count; row += lanes) {
                const IntVec label = tile_labels.at(row);
                const Vec grad = label == static_cast<int>(k) ? own : other;
                store(tile + k * pitch + row, label >= 0 ? grad : splat(0.0f));
            }
        }
        store_tile(tile, count, classes, grad_probabilities + first * classes);
    }
}

}  // namespace

extern const DiceKernels dice = {add_sums, backward};

}  // namespace voxelgrad::VOXELGRAD_ISA

#include "ops/dice.hpp"

#include "core/check.hpp"
#include "core/parallel_for.hpp"
#include "core/pool.hpp"
#include "kernels/dice.hpp"
#include "ops/dice_arguments.hpp"
#include "ops/labels.hpp"

namespace voxelgrad {
namespace {

// Chunks of rows that do not cross from one sample to the next.
struct Chunks {
    std::int64_t samples, rows, grain, per_sample;

    Chunks(std::int64_t samples, std::int64_t rows, std::int64_t classes)
        : samples(samples),
          rows(rows),
          grain(rows_per_chunk(classes)),
          per_sample((rows + grain - 1) / grain) {}

    std::int64_t count() const { return samples * per_sample; }

    // Runs body(chunk, sample, first row, end row), rows counted over all samples.
    template <class Body>
    void for_each(Body body) const {
        parallel_for(count(), [&](std::int64_t chunk) {
            const std::int64_t sample = chunk / per_sample;
            const std::int64_t begin = chunk % per_sample * grain;
            body(chunk, sample, sample * rows + begin,
                 sample * rows + std::min(begin + grain, rows));
        });
    }
};

}  // namespace

void dice_sums(View<const float> probabilities, View<const std::int64_t> labels, View<double> sums,
               std::int64_t ignore_index) {
    constexpr const char* op = "dice_loss";
    check_dice_sums(op, probabilities, labels, sums);
    const std::int64_t samples = labels[0], classes = probabilities.last();
    const Chunks chunks(samples, labels.count(1, labels.rank), classes);
    const Workspace<double> parts(chunks.count() * classes * 3);
    const auto& kernels = dice_kernels();
    chunks.for_each([&](std::int64_t chunk, std::int64_t, std::int64_t begin, std::int64_t end) {
        check_labels(op, labels, begin, end, classes, ignore_index);
        const Workspace<float> tile(tile_size(classes));
        double* const part = parts.data() + chunk * classes * 3;
        std::fill_n(part, classes * 3, 0.0);
        kernels.sums(probabilities.data + begin * classes, labels.data + begin, end - begin,
                     classes, ignore_index, tile.data(), part);
    });
    std::fill_n(sums.data, sums.size(), 0.0);
    for (std::int64_t chunk = 0; chunk < chunks.count(); ++chunk)
        for (std::int64_t i = 0; i < classes * 3; ++i)
            sums.data[chunk / chunks.per_sample * classes * 3 + i] +=
                parts[chunk * classes * 3 + i];
}

void dice_score(View<const double> sums, View<double> dice, View<double> denominator,
                View<float> output, double smooth, bool include_background) {
    constexpr const char* op = "dice_score";
    check_dice_score(op, sums, dice, denominator, output);
    const std::int64_t rows = dice[0], classes = dice[1], together = sums[0] / rows;
    const std::int64_t first = include_background ? 0 : 1;
    double total = 0.0;
    for (std::int64_t row = 0; row < rows; ++row)
        for (std::int64_t k = 0; k < classes; ++k) {
            double sum[3] = {0.0, 0.0, 0.0};
            for (std::int64_t n = row * together; n < (row + 1) * together; ++n)
                for (int i = 0; i < 3; ++i) sum[i] += sums.data[(n * classes + k) * 3 + i];
            const double below = sum[1] + sum[2] + smooth;
            // Where nothing is counted and nothing smooths, prediction and label agree perfectly.
            // NaN stays NaN.
            const double score = below <= 0.0 ? 1.0 : (2.0 * sum[0] + smooth) / below;
            dice.data[row * classes + k] = score;
            denominator.data[row * classes + k] = below <= 0.0 ? 1.0 : below;
            if (k >= first) total += score;
        }
    const double count = static_cast<double>(rows * (classes - first));
    output.data[0] = static_cast<float>(1.0 - total / count);
}

void dice_coefficients(View<const double> dice, View<const double> denominator,
                       View<const float> grad_output, View<float> coefficient_intersection,
                       View<float> coefficient_sum, bool include_background) {
    constexpr const char* op = "dice_coefficients";
    check_dice_coefficients(op, dice, denominator, grad_output, coefficient_intersection,
                            coefficient_sum);
    const std::int64_t rows = dice[0], classes = dice[1], together = coefficient_sum[0] / rows;
    const std::int64_t first = include_background ? 0 : 1;
    const double share = grad_output.data[0] / static_cast<double>(rows * (classes - first));
    // Dice = (2 I + s) / D with D = P + T + s, so dDice/dp = (2 [y = k] - Dice) / D.
    for (std::int64_t n = 0; n < coefficient_sum[0]; ++n)
        for (std::int64_t k = 0; k < classes; ++k) {
            const std::int64_t score = n / together * classes + k;
            const double scale = k < first ? 0.0 : share / denominator.data[score];
            coefficient_intersection.data[n * classes + k] = static_cast<float>(-2.0 * scale);
            coefficient_sum.data[n * classes + k] = static_cast<float>(scale * dice.data[score]);
        }
}

void dice_backward(View<const std::int64_t> labels, View<const float> coefficient_intersection,
                   View<const float> coefficient_sum, View<float> grad_probabilities,
                   std::int64_t ignore_index) {
    constexpr const char* op = "dice_backward";
    check_dice_gradient(op, labels, coefficient_intersection, coefficient_sum, grad_probabilities);
    const std::int64_t samples = labels[0], classes = grad_probabilities.last();
    if (grad_probabilities.size() == 0) return;
    const auto& kernels = dice_kernels();
    const Chunks chunks(samples, labels.count(1, labels.rank), classes);
    chunks.for_each([&](std::int64_t, std::int64_t sample, std::int64_t begin, std::int64_t end) {
        const Workspace<float> tile(tile_size(classes));
        kernels.backward(labels.data + begin, coefficient_intersection.data + sample * classes,
                         coefficient_sum.data + sample * classes,
                         grad_probabilities.data + begin * classes, end - begin, classes,
                         ignore_index, tile.data());
    });
}

}  // namespace voxelgrad

#include "ops/dice.hpp"

#include "core/check.hpp"
#include "core/parallel_for.hpp"
#include "core/pool.hpp"
#include "kernels/dice.hpp"
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
    check(labels.rank > 0, op, ": labels must be (N, *spatial); they have no axis");
    check_label_shape(op, "probabilities", probabilities, labels);
    const std::int64_t samples = labels[0], classes = probabilities.last();
    check(sums.rank == 3 && sums[0] == samples && sums[1] == classes && sums[2] == 3, op, ": sums ",
          sums, " must be (", samples, ", ", classes, ", 3)");
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

void dice_backward(View<const std::int64_t> labels, View<const float> coefficient_intersection,
                   View<const float> coefficient_sum, View<float> grad_probabilities,
                   std::int64_t ignore_index) {
    constexpr const char* op = "dice_backward";
    check(labels.rank > 0, op, ": labels must be (N, *spatial); they have no axis");
    check_label_shape(op, "grad_probabilities", grad_probabilities, labels);
    const std::int64_t samples = labels[0], classes = grad_probabilities.last();
    check_same_shape(op, "coefficient_intersection", coefficient_intersection, "coefficient_sum",
                     coefficient_sum);
    check(
        coefficient_sum.rank == 2 && coefficient_sum[0] == samples && coefficient_sum[1] == classes,
        op, ": coefficient_sum ", coefficient_sum, " must be (", samples, ", ", classes, ")");
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

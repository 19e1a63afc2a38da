#include "ops/cross_entropy.hpp"

#include "core/check.hpp"
#include "kernels/cross_entropy.hpp"
#include "ops/chunked_totals.hpp"
#include "ops/labels.hpp"
#include "ops/mean_loss.hpp"

namespace voxelgrad {

void cross_entropy_forward(View<const float> logits, View<const std::int64_t> labels,
                           OptionalView<const float> class_weight, View<float> log_sum_exp,
                           View<double> totals, std::int64_t ignore_index) {
    constexpr const char* op = "cross_entropy";
    check_label_shape(op, "logits", logits, labels);
    check_class_weight(op, class_weight, logits.last());
    check_same_shape(op, "labels", labels, "log_sum_exp", log_sum_exp);
    check_totals(op, totals);
    const std::int64_t classes = logits.last();
    const auto& kernels = cross_entropy_kernels();
    sum_chunks(labels.size(), rows_per_chunk(classes), totals,
               [&](std::int64_t begin, std::int64_t end, double* chunk_totals) {
                   check_labels(op, labels, begin, end, classes, ignore_index);
                   const Workspace<float> tile(tile_size(classes));
                   kernels.forward(logits.data + begin * classes, labels.data + begin,
                                   class_weight.data, log_sum_exp.data + begin, end - begin,
                                   classes, ignore_index, tile.data(), chunk_totals);
               });
}

void cross_entropy_backward(View<const float> logits, View<const std::int64_t> labels,
                            OptionalView<const float> class_weight, View<const float> log_sum_exp,
                            View<const double> totals, View<const float> grad_output,
                            View<float> grad_logits, std::int64_t ignore_index) {
    constexpr const char* op = "cross_entropy_backward";
    check_label_shape(op, "logits", logits, labels);
    check_class_weight(op, class_weight, logits.last());
    check_same_shape(op, "labels", labels, "log_sum_exp", log_sum_exp);
    check_same_shape(op, "logits", logits, "grad_logits", grad_logits);
    const float grad_scale = static_cast<float>(mean_scale(op, grad_output, totals));
    const std::int64_t classes = logits.last();
    if (logits.size() == 0) return;
    const auto& kernels = cross_entropy_kernels();
    parallel_for_ranges(
        labels.size(), rows_per_chunk(classes), [&](std::int64_t begin, std::int64_t end) {
            const Workspace<float> tile(tile_size(classes));
            kernels.backward(logits.data + begin * classes, labels.data + begin, class_weight.data,
                             log_sum_exp.data + begin, grad_logits.data + begin * classes,
                             end - begin, classes, ignore_index, grad_scale, tile.data());
        });
}

}  // namespace voxelgrad

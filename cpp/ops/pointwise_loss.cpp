#include "ops/pointwise_loss.hpp"

#include "core/check.hpp"
#include "kernels/pointwise_loss.hpp"
#include "ops/chunked_totals.hpp"
#include "ops/kind_names.hpp"
#include "ops/labels.hpp"
#include "ops/mean_loss.hpp"

namespace voxelgrad {
namespace {

constexpr std::int64_t grain = 1 << 15;  // elements a chunk

}  // namespace

void bce_with_logits_forward(View<const float> logits, View<const float> targets,
                             View<double> totals, double pos_weight) {
    constexpr const char* op = "bce_with_logits_forward";
    check_same_shape(op, "logits", logits, "targets", targets);
    check_totals(op, totals);
    const auto& kernels = pointwise_loss_kernels();
    sum_chunks(logits.size(), grain, totals,
               [&](std::int64_t begin, std::int64_t end, double* chunk_totals) {
                   chunk_totals[0] = kernels.bce(logits.data + begin, targets.data + begin,
                                                 end - begin, static_cast<float>(pos_weight));
                   chunk_totals[1] = static_cast<double>(end - begin);
               });
}

void bce_with_logits_backward(View<const float> logits, View<const float> targets,
                              View<const double> totals, View<const float> grad_output,
                              View<float> grad_logits, double pos_weight) {
    constexpr const char* op = "bce_with_logits_backward";
    check_same_shape(op, "logits", logits, "targets", targets);
    check_same_shape(op, "logits", logits, "grad_logits", grad_logits);
    const float grad_scale = static_cast<float>(mean_scale(op, grad_output, totals));
    const auto& kernels = pointwise_loss_kernels();
    parallel_for_ranges(logits.size(), grain, [&](std::int64_t begin, std::int64_t end) {
        kernels.bce_backward(logits.data + begin, targets.data + begin, grad_logits.data + begin,
                             end - begin, static_cast<float>(pos_weight), grad_scale);
    });
}

void distance_forward(const std::string& kind, View<const float> input, View<const float> target,
                      View<double> totals) {
    constexpr const char* op = "distance_forward";
    check_same_shape(op, "input", input, "target", target);
    check_totals(op, totals);
    const Distance distance = distance_kind(kind);
    const auto& kernels = pointwise_loss_kernels();
    sum_chunks(input.size(), grain, totals,
               [&](std::int64_t begin, std::int64_t end, double* chunk_totals) {
                   chunk_totals[0] = kernels.distance(distance, input.data + begin,
                                                      target.data + begin, end - begin);
                   chunk_totals[1] = static_cast<double>(end - begin);
               });
}

void distance_backward(const std::string& kind, View<const float> input, View<const float> target,
                       View<const double> totals, View<const float> grad_output,
                       View<float> grad_input) {
    constexpr const char* op = "distance_backward";
    check_same_shape(op, "input", input, "target", target);
    check_same_shape(op, "input", input, "grad_input", grad_input);
    const float grad_scale = static_cast<float>(mean_scale(op, grad_output, totals));
    const Distance distance = distance_kind(kind);
    const auto& kernels = pointwise_loss_kernels();
    parallel_for_ranges(input.size(), grain, [&](std::int64_t begin, std::int64_t end) {
        kernels.distance_backward(distance, input.data + begin, target.data + begin,
                                  grad_input.data + begin, end - begin, grad_scale);
    });
}

}  // namespace voxelgrad

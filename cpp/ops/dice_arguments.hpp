// Which arrays of the Dice loss fit together; see dice.hpp.
#pragma once

#include "ops/labels.hpp"

namespace voxelgrad {

inline void check_dice_sums(const char* op, const View<const float>& probabilities,
                            const View<const std::int64_t>& labels, const View<double>& sums) {
    check(labels.rank > 0, op, ": labels must be (N, *spatial); they have no axis");
    check_label_shape(op, "probabilities", probabilities, labels);
    const std::int64_t samples = labels[0], classes = probabilities.last();
    check(sums.rank == 3 && sums[0] == samples && sums[1] == classes && sums[2] == 3, op, ": sums ",
          sums, " must be (", samples, ", ", classes, ", 3)");
}

// dice and denominator are (N, K) or (1, K).
template <class T>
void check_scores(const char* op, const View<T>& dice, const View<T>& denominator,
                  std::int64_t samples, std::int64_t classes) {
    check_same_shape(op, "dice", dice, "denominator", denominator);
    check(
        samples > 0 && dice.rank == 2 && (dice[0] == samples || dice[0] == 1) && dice[1] == classes,
        op, ": dice ", dice, " must be (", samples, ", ", classes, ") or (1, ", classes, ")");
}

inline void check_dice_score(const char* op, const View<const double>& sums,
                             const View<double>& dice, const View<double>& denominator,
                             const View<float>& output) {
    check(sums.rank == 3 && sums[2] == 3, op, ": sums ", sums, " must be (N, K, 3)");
    check_scores(op, dice, denominator, sums[0], sums[1]);
    check(output.size() == 1, op, ": output ", output, " must be a single number");
}

inline void check_dice_coefficients(const char* op, const View<const double>& dice,
                                    const View<const double>& denominator,
                                    const View<const float>& grad_output,
                                    const View<float>& coefficient_intersection,
                                    const View<float>& coefficient_sum) {
    check_same_shape(op, "coefficient_intersection", coefficient_intersection, "coefficient_sum",
                     coefficient_sum);
    check(coefficient_sum.rank == 2, op, ": coefficient_sum ", coefficient_sum, " must be (N, K)");
    check_scores(op, dice, denominator, coefficient_sum[0], coefficient_sum[1]);
    check(grad_output.size() == 1, op, ": grad_output ", grad_output, " must be a single number");
}

inline void check_dice_gradient(const char* op, const View<const std::int64_t>& labels,
                                const View<const float>& coefficient_intersection,
                                const View<const float>& coefficient_sum,
                                const View<float>& grad_probabilities) {
    check(labels.rank > 0, op, ": labels must be (N, *spatial); they have no axis");
    check_label_shape(op, "grad_probabilities", grad_probabilities, labels);
    const std::int64_t samples = labels[0], classes = grad_probabilities.last();
    check_same_shape(op, "coefficient_intersection", coefficient_intersection, "coefficient_sum",
                     coefficient_sum);
    check(
        coefficient_sum.rank == 2 && coefficient_sum[0] == samples && coefficient_sum[1] == classes,
        op, ": coefficient_sum ", coefficient_sum, " must be (", samples, ", ", classes, ")");
}

}  // namespace voxelgrad

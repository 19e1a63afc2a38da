// The check of class labels that losses share.
#pragma once

#include "core/check.hpp"
#include "core/view.hpp"

namespace voxelgrad {

// Throws unless labels [begin, end) lie in [0, classes) or are `ignore_index`. The message names
// the first wrong label and where it is.
void check_labels(const char* op, const View<const std::int64_t>& labels, std::int64_t begin,
                  std::int64_t end, std::int64_t classes, std::int64_t ignore_index);

// Throws unless scores are (R.., K) and labels (R..).
template <class T>
void check_label_shape(const char* op, const char* name, const View<T>& scores,
                       const View<const std::int64_t>& labels) {
    bool fits = scores.rank == labels.rank + 1;
    for (int axis = 0; fits && axis < labels.rank; ++axis) fits = scores[axis] == labels[axis];
    check(fits, op, ": ", name, ' ', scores, " must have the shape of labels ", labels,
          " and one axis more, the classes");
    constexpr std::int64_t most_classes = 1 << 20;
    check(scores.last() >= 1 && scores.last() <= most_classes, op, ": there are ", scores.last(),
          " classes; there must be 1 to ", most_classes);
}

// Throws unless class_weight, if given, is (K,).
inline void check_class_weight(const char* op, const OptionalView<const float>& class_weight,
                               std::int64_t classes) {
    check(!class_weight || (class_weight.rank == 1 && class_weight[0] == classes), op,
          ": class_weight ", class_weight, " must be (", classes, ")");
}

// Throws unless totals is (2,).
template <class T>
void check_totals(const char* op, const View<T>& totals) {
    check(totals.rank == 1 && totals[0] == 2, op, ": totals ", totals, " must be (2)");
}

}  // namespace voxelgrad

// The check of class labels that losses share.
#pragma once

#include "core/view.hpp"

namespace voxelgrad {

// Throws unless labels [begin, end) lie in [0, classes) or are `ignore_index`. The message names
// the first wrong label and where it is.
void check_labels(const char* op, const View<const std::int64_t>& labels, std::int64_t begin,
                  std::int64_t end, std::int64_t classes, std::int64_t ignore_index);

// Throws unless scores are (R.., K) and labels (R..).
void check_label_shape(const char* op, const char* name, const View<const float>& scores,
                       const View<const std::int64_t>& labels);
// Throws unless class_weight, if given, is (K,).
void check_class_weight(const char* op, const OptionalView<const float>& class_weight,
                        std::int64_t classes);
// Throws unless totals is (2,).
void check_totals(const char* op, const View<double>& totals);

}  // namespace voxelgrad

#include "ops/labels.hpp"

#include <string>

namespace voxelgrad {
namespace {

// The position of a flat index, as Python writes a tuple.
std::string position(const View<const std::int64_t>& labels, std::int64_t index) {
    std::string text;
    for (int axis = labels.rank - 1; axis >= 0; --axis) {
        const std::string place = std::to_string(index % labels[axis]);
        text = text.empty() ? place + (labels.rank == 1 ? "," : "") : place + ", " + text;
        index /= labels[axis];
    }
    return "(" + text + ")";
}

}  // namespace

void check_labels(const char* op, const View<const std::int64_t>& labels, std::int64_t begin,
                  std::int64_t end, std::int64_t classes, std::int64_t ignore_index) {
    const auto is_wrong = [=](std::int64_t label) {
        // As unsigned, negative labels are large.
        const bool outside =
            static_cast<std::uint64_t>(label) >= static_cast<std::uint64_t>(classes);
        return outside & (label != ignore_index);
    };
    bool found = false;
    for (std::int64_t i = begin; i < end; ++i) found |= is_wrong(labels.data[i]);
    if (!found) return;
    std::int64_t i = begin;
    while (!is_wrong(labels.data[i])) ++i;
    fail(op, ": label ", labels.data[i], " at index ", position(labels, i), " (element ", i,
         ") is outside [0, ", classes, ") and is not ignore_index ", ignore_index,
         "; correct the labels or give more classes");
}

}  // namespace voxelgrad

// Arrays that are joined along an axis, or come from cutting one.
#pragma once

#include <vector>

#include "core/check.hpp"
#include "core/rows.hpp"

namespace voxelgrad {

// One of the arrays that lie side by side in the rows of the whole.
template <class T>
struct Piece {
    Rows<T> rows;
    std::int64_t begin, end;  // columns in the whole
};

// The pieces that are not empty. A row of the whole is everything from `axis` on.
template <class Part, class Whole>
std::vector<Piece<Part>> pieces_of(const char* op, const char* part_name, const char* whole_name,
                                   const std::vector<View<Part>>& parts, const View<Whole>& whole,
                                   int axis) {
    check(axis >= 0 && axis < whole.rank, op, ": axis is ", axis, " but ", whole_name, ' ', whole,
          " has ", whole.rank, " axes");
    const std::int64_t trailing = whole.count(axis + 1, whole.rank);
    std::vector<Piece<Part>> pieces;
    std::int64_t total = 0;
    for (const View<Part>& part : parts) {
        bool fits = part.rank == whole.rank;
        for (int a = 0; fits && a < whole.rank; ++a) fits = a == axis || part[a] == whole[a];
        check(fits, op, ": ", part_name, ' ', part, " must agree with ", whole_name, ' ', whole,
              " except along axis ", axis);
        const std::int64_t begin = total * trailing, length = part[axis] * trailing;
        total += part[axis];
        if (length > 0) pieces.push_back({{part.data, length}, begin, begin + length});
    }
    check(total == whole[axis], op, ": ", part_name, "s have ", total, " elements along axis ",
          axis, " but ", whole_name, " is ", whole);
    return pieces;
}

}  // namespace voxelgrad

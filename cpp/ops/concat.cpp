#include <algorithm>
#include <numeric>

#include "core/split.hpp"
#include "core/streaming.hpp"
#include "ops/copy_rows.hpp"
#include "ops/pieces.hpp"
#include "ops/shape.hpp"

namespace voxelgrad {
namespace {

using std::int64_t;

// Calls body(piece, first, last) for the columns of the box that lie in each piece.
template <class T, class Body>
void for_pieces(const std::vector<Piece<T>>& pieces, const Box& box, Body body) {
    for (const Piece<T>& piece : pieces) {
        const int64_t first = std::max(piece.begin, box.column);
        const int64_t last = std::min(piece.end, box.column_end);
        if (first < last) body(piece, first, last);
    }
}

// Whether rows are short, and what every piece gets of them is better written past the cache.
template <class T>
bool can_deal(const Rows<const T>& whole, int64_t rows, const std::vector<Piece<T>>& pieces) {
    return whole.pitch > 0 && whole.pitch <= box_grain &&
           std::all_of(pieces.begin(), pieces.end(), [&](const Piece<T>& piece) {
               return worth_streaming(piece.rows.data, rows * piece.rows.pitch, piece.rows.pitch);
           });
}

template <class T>
void deal(const Rows<const T>& whole, int64_t rows, const std::vector<Piece<T>>& pieces) {
    std::vector<ByteRows<char>> targets;
    for (const Piece<T>& piece : pieces) targets.push_back(byte_rows<char>(piece.rows));
    const int64_t height = box_grain / whole.pitch;
    parallel_for(divide_up(rows, height), [&](int64_t number) {
        copy_kernels().deal(byte_rows<const char>(whole), targets.data(),
                            static_cast<int>(targets.size()), number * height,
                            std::min((number + 1) * height, rows));
        copy_kernels().fence();
    });
}

}  // namespace

template <class T>
void concat(const std::vector<View<const T>>& inputs, View<T> output, int axis) {
    const auto pieces = pieces_of("concat", "input", "output", inputs, output, axis);
    const Rows<T> whole{output.data, output.count(axis, output.rank)};
    int64_t unit = 0;  // what all pieces' lengths are multiples of
    for (const Piece<const T>& piece : pieces) unit = std::gcd(unit, piece.rows.pitch);
    const bool past_cache = worth_streaming(output.data, output.size(), unit);
    for_boxes(output.count(0, axis), whole.pitch, [&](const Box& box) {
        for_pieces(pieces, box, [&](const Piece<const T>& piece, int64_t first, int64_t last) {
            copy_rows(piece.rows.at(box.row, first - piece.begin), whole.at(box.row, first),
                      box.row_end - box.row, last - first, past_cache);
        });
    });
}

template <class T>
void split(View<const T> input, const std::vector<View<T>>& outputs, int axis) {
    const auto pieces = pieces_of("split", "output", "input", outputs, input, axis);
    const Rows<const T> whole{input.data, input.count(axis, input.rank)};
    const int64_t rows = input.count(0, axis);
    if (can_deal(whole, rows, pieces)) return deal(whole, rows, pieces);
    for_boxes(rows, whole.pitch, [&](const Box& box) {
        for_pieces(pieces, box, [&](const Piece<T>& piece, int64_t first, int64_t last) {
            const Rows<T> target = piece.rows.at(box.row, first - piece.begin);
            const int64_t unit = std::gcd(target.pitch, last - first);
            const bool past_cache = worth_streaming(target.data, rows * target.pitch, unit);
            copy_rows(whole.at(box.row, first), target, box.row_end - box.row, last - first,
                      past_cache);
        });
    });
}

template void concat(const std::vector<View<const float>>&, View<float>, int);
template void concat(const std::vector<View<const bf16>>&, View<bf16>, int);
template void split(View<const float>, const std::vector<View<float>>&, int);
template void split(View<const bf16>, const std::vector<View<bf16>>&, int);

}  // namespace voxelgrad

#include "ops/window.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include "ops/window_reduction.hpp"

namespace voxelgrad {
namespace {

// Whether targets have source positions in common, for sure.
bool shares(const WindowAxis& axis) {
    return static_cast<std::int64_t>(axis.taps.size()) > axis.source;
}

// Whether the taps of all targets, `first` to `first + count` of each, follow one rule: their
// source position and their place.
template <class Position>
bool follows(const WindowAxis& axis, std::int32_t count, std::int32_t period, Position position) {
    const std::int32_t taps = static_cast<std::int32_t>(axis.taps.size());
    if (taps != count * axis.target() || taps < period || taps % period != 0) return false;
    for (std::int32_t target = 0; target <= axis.target(); ++target)
        if (axis.start[static_cast<std::size_t>(target)] != count * target) return false;
    for (std::int32_t t = 0; t < taps; ++t) {
        const WindowTap& tap = axis.taps[static_cast<std::size_t>(t)];
        if (tap.offset != position(t) ||
            tap.place != axis.taps[static_cast<std::size_t>(t % period)].place)
            return false;
    }
    return true;
}

// One source position, or it and the next, for every target; and targets share them.
bool takes_neighbours(const WindowAxis& axis) {
    for (std::int64_t target = 0; target < axis.target(); ++target) {
        const std::int32_t first = axis.start[target], count = axis.start[target + 1] - first;
        const bool one = count == 1;
        const bool two = count == 2 && axis.taps[first + 1].offset == axis.taps[first].offset + 1;
        if (!one && !two) return false;
    }
    return shares(axis);
}

WindowColumns pattern_of(const WindowAxis& axis) {
    if (follows(axis, 2, 2, [](std::int32_t t) { return t; })) return WindowColumns::pairs;
    if (follows(axis, 1, 2, [](std::int32_t t) { return t / 2; })) return WindowColumns::halves;
    return takes_neighbours(axis) ? WindowColumns::neighbours : WindowColumns::any;
}

}  // namespace

WindowPlan::WindowPlan(std::int64_t samples, std::vector<WindowAxis> axes, std::int64_t channels)
    : samples_(samples), channels_(channels), axes_(std::move(axes)) {
    const WindowAxis unit{1, {0, 1}, {{0, 0, 1.0f}}};
    while (axes_.size() < window_axes) axes_.insert(axes_.begin(), unit);
    columns_ = pattern_of(axes_[window_axes - 1]);
    std::int64_t stride = channels_;
    for (int a = window_axes - 1; a >= 0; --a) {
        for (WindowTap& tap : axes_[a].taps) tap.offset *= stride;
        stride *= axes_[a].source;
    }
}

WindowColumns WindowPlan::columns_of(const Piece& piece) const {
    const bool even = piece.column % 2 == 0 && piece.column_end % 2 == 0;
    return columns_ == WindowColumns::halves && !even ? WindowColumns::any : columns_;
}

std::int64_t WindowPlan::size() const {
    std::int64_t size = samples_ * channels_;
    for (const WindowAxis& axis : axes_) size *= axis.target();
    return size;
}

// Where there are more taps than source columns, the target's columns share them; then pieces are
// no wider than the sums over the outer lists may be long.
std::vector<WindowPlan::Piece> WindowPlan::column_pieces(std::int64_t most_columns) const {
    const WindowAxis& axis = axes_[2];
    const bool shared = shares(axis);
    std::vector<Piece> pieces;
    for (std::int64_t column = 0; column < axis.target(); ++column) {
        std::int64_t begin = std::numeric_limits<std::int64_t>::max(), end = 0;
        for (std::int32_t t = axis.start[column]; t < axis.start[column + 1]; ++t) {
            begin = std::min(begin, axis.taps[t].offset);
            end = std::max(end, axis.taps[t].offset + channels_);
        }
        const bool spans = shared && begin < end && end - begin <= longest_span;
        if (!spans) begin = end = 0;
        if (!pieces.empty()) {
            Piece& last = pieces.back();
            const std::int64_t from = std::min(begin, last.span_begin);
            const std::int64_t to = std::max(end, last.span_end);
            const bool fits = spans == (last.span_begin < last.span_end) &&
                              to - from <= longest_span &&
                              last.column_end - last.column < most_columns;
            if (fits) {
                last.span_begin = from;
                last.span_end = to;
                last.column_end = column + 1;
                continue;
            }
        }
        pieces.push_back({0, 0, 0, 0, column, column + 1, begin, end});
    }
    return pieces;
}

// Rows that are neighbours share source rows, and so do planes: a piece holds as many as leave what
// it reads in L2.
std::vector<WindowPlan::Piece> WindowPlan::pieces() const {
    constexpr std::int64_t grain = 1 << 14;   // elements of a plane of a piece
    constexpr std::int64_t most_planes = 16;  // of a piece
    const std::int64_t planes = axes_[0].target(), rows = axes_[1].target();
    const std::int64_t pixels = std::max<std::int64_t>(1, grain / channels_);
    const std::int64_t height = std::max<std::int64_t>(1, pixels / axes_[2].target());
    const std::vector<Piece> columns = column_pieces(pixels);
    std::vector<Piece> pieces;
    for (std::int64_t plane = 0; plane < planes; plane += most_planes)
        for (std::int64_t row = 0; row < rows; row += height)
            for (Piece piece : columns) {
                piece.plane = plane;
                piece.plane_end = std::min(plane + most_planes, planes);
                piece.row = row;
                piece.row_end = std::min(row + height, rows);
                pieces.push_back(piece);
            }
    return pieces;
}

void WindowPlan::outer_taps(std::int64_t sample, std::int64_t plane, std::int64_t row,
                            std::vector<WindowTap>& outer) const {
    const WindowAxis &depth = axes_[0], &height = axes_[1];
    const std::int64_t sample_size = depth.source * height.source * axes_[2].source * channels_;
    outer.clear();
    for (std::int32_t i = depth.start[plane]; i < depth.start[plane + 1]; ++i)
        for (std::int32_t j = height.start[row]; j < height.start[row + 1]; ++j) {
            const WindowTap &a = depth.taps[i], &b = height.taps[j];
            outer.push_back({sample * sample_size + a.offset + b.offset, a.place + b.place,
                             a.weight * b.weight});
        }
}

template <class T>
void window_sum(const WindowPlan& plan, const T* source, T* target) {
    if (reduce_windows(plan, source, target)) return;
    const auto& kernels = window_kernels<T>();
    plan.for_rows(target, [&](const WindowRow& row, std::int64_t first) {
        kernels.weighted_sum(row, source, target + first);
    });
}

template void window_sum(const WindowPlan&, const float*, float*);
template void window_sum(const WindowPlan&, const bf16*, bf16*);

}  // namespace voxelgrad

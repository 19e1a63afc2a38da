// Which source pixels every target pixel of an image gathers from, one table per axis.
//
// Pooling, interpolation and their backward passes are all such a gather, each with its own tables;
// so no two threads ever write the same pixel.
#pragma once

#include <cstdint>
#include <vector>

#include "core/parallel_for.hpp"
#include "core/streaming.hpp"
#include "kernels/window.hpp"
#include "ops/window_axis.hpp"

namespace voxelgrad {

class WindowPlan {
 public:
    // One table for each of the image's spatial axes, 1 to 3; images are (samples, *spatial,
    // channels).
    WindowPlan(std::int64_t samples, std::vector<WindowAxis> axes, std::int64_t channels);

    std::int64_t samples() const { return samples_; }
    std::int64_t channels() const { return channels_; }
    // Of the axes depth, height, width; offsets are in elements of the source.
    const WindowAxis& axis(int a) const { return axes_[static_cast<std::size_t>(a)]; }

    // Runs body(row, first) on all rows of the target, in parallel pieces; `first` is the flat
    // position of the row's column 0 in `target`. Offsets in `row` count from the source's start.
    template <class T, class Body>
    void for_rows(const T* target, Body&& body) const;

 private:
    // A part of the target: some planes of a sample, some rows of each, some columns of those.
    struct Piece {
        std::int64_t plane, plane_end, row, row_end, column, column_end;
        std::int64_t span_begin, span_end;  // see WindowRow
    };
    std::int64_t size() const;
    WindowColumns columns_of(const Piece& piece) const;
    std::vector<Piece> pieces() const;  // of one sample
    std::vector<Piece> column_pieces(std::int64_t most_columns) const;
    void outer_taps(std::int64_t sample, std::int64_t plane, std::int64_t row,
                    std::vector<WindowTap>& outer) const;

    std::int64_t samples_, channels_;
    std::vector<WindowAxis> axes_;
    WindowColumns columns_;
};

// target = sum over the window of weight * source.
template <class T>
void window_sum(const WindowPlan& plan, const T* source, T* target);

template <class T, class Body>
void WindowPlan::for_rows(const T* target, Body&& body) const {
    if (size() == 0) return;
    const bool past_cache = worth_streaming(target, size(), channels_);
    const std::vector<Piece> pieces = this->pieces();
    const std::int64_t count = static_cast<std::int64_t>(pieces.size());
    const std::int64_t planes = axes_[0].target(), rows = axes_[1].target();
    parallel_for(samples_ * count, [&](std::int64_t number) {
        const std::int64_t sample = number / count;
        const Piece& piece = pieces[static_cast<std::size_t>(number % count)];
        std::vector<WindowTap> outer;
        WindowRow row{.outer = nullptr,
                      .outer_count = 0,
                      .start = axes_[2].start.data(),
                      .taps = axes_[2].taps.data(),
                      .begin = piece.column,
                      .end = piece.column_end,
                      .channels = channels_,
                      .span_begin = piece.span_begin,
                      .span_end = piece.span_end,
                      .past_cache = past_cache,
                      .columns = columns_of(piece)};
        for (std::int64_t plane = piece.plane; plane < piece.plane_end; ++plane)
            for (std::int64_t line = piece.row; line < piece.row_end; ++line) {
                outer_taps(sample, plane, line, outer);
                row.outer = outer.data();
                row.outer_count = static_cast<int>(outer.size());
                const std::int64_t place = (sample * planes + plane) * rows + line;
                body(row, place * axes_[2].target() * channels_);
            }
    });
}

}  // namespace voxelgrad

// Windows over images with the channels last: for every pixel of one target row, the maximum or the
// weighted sum of the source pixels in its window, channel by channel. float or bf16; sums are
// float.
//
// A window is the product of an outer list (of the axes before the last, the same for the whole
// row) and a list of its column; taps are taken outer list first, both in their order. Places and
// offsets of the two lists are added, weights multiplied.
#pragma once

#include <cstdint>

#include "core/window_tap.hpp"
#include "kernels/dispatch.hpp"

namespace voxelgrad {

// What the lists of the columns look like, as far as kernels make use of it.
enum class WindowColumns {
    any,
    pairs,       // column c takes source columns 2c and 2c + 1, at the places of column 0's taps
    halves,      // the other way round: column c takes source column c / 2, begin and end are even
    neighbours,  // a column takes one source column, or it and the next; most are taken repeatedly
};

struct WindowRow {
    const WindowTap* outer;
    int outer_count;
    const std::int32_t* start;  // taps [start[column], start[column + 1]) belong to the column
    const WindowTap* taps;
    std::int64_t begin, end;  // columns
    std::int64_t channels;
    // Where the columns share source pixels: the span of a source row that they need, in elements.
    // Sums over the outer list are then formed once for all of them. Empty where they share none.
    std::int64_t span_begin, span_end;
    bool past_cache;  // write the target past the cache: its pixels are whole cache lines
    WindowColumns columns;
    bool rectify =
        false;  // maxima are of max(x, 0), and where that is not positive without a place
};

constexpr std::int64_t longest_span = 8192;  // elements: the sums stay in L1

// `target`, `indices` and `output` point to the row's column 0.
template <class T, class Index>
struct MaxKernels {
    // The maximum and its place: the first NaN wins, else the first maximum.
    void (*forward)(const WindowRow& row, const T* source, T* target, Index* indices);
    // Sum of source where indices (of the source's shape) is the tap's place.
    void (*backward)(const WindowRow& row, const T* source, const Index* indices, T* target);
};

// Rows of equal length to be added up.
struct WeightedRow {
    const float* data;
    float weight;
};

template <class T>
struct WindowKernels {
    MaxKernels<T, std::uint8_t> max_small;
    MaxKernels<T, std::int32_t> max_large;
    void (*weighted_sum)(const WindowRow& row, const T* source, T* target);
    // The same not rounded to T, without outer list, for columns that each take successive source
    // columns, and share them with their neighbours only.
    void (*sum_successive)(const WindowRow& row, const T* source, float* target);
    // target = the sum of rows of `size` elements. past_cache: as in WindowRow.
    void (*sum_rows)(const WeightedRow* rows, int count, T* target, std::int64_t size,
                     bool past_cache);
};

VOXELGRAD_TYPED_KERNEL_TABLES(WindowKernels, window)

}  // namespace voxelgrad

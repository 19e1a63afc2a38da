// Copying matrices that are parts of larger ones, in parallel.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/parallel_for.hpp"
#include "core/rows.hpp"
#include "kernels/copy.hpp"

namespace voxelgrad {

constexpr std::int64_t box_grain = 1 << 15;  // elements that a task copies

template <class Byte, class T>
ByteRows<Byte> byte_rows(Rows<T> rows) {
    return {reinterpret_cast<Byte*>(rows.data), rows.pitch * std::int64_t{sizeof(T)}};
}

// The rows must not overlap. past_cache: see CopyKernels.
template <class T>
void copy_rows(Rows<const T> source, Rows<T> target, std::int64_t rows, std::int64_t columns,
               bool past_cache) {
    constexpr std::int64_t size = sizeof(T);
    copy_kernels().rows(byte_rows<const char>(source), byte_rows<char>(target), rows,
                        columns * size, past_cache);
}

// A part of a matrix.
struct Box {
    std::int64_t row, row_end, column, column_end;
};

// Cuts a matrix into boxes of whole rows, or long rows into pieces of whole cache lines, and calls
// body(box) on each, in parallel. What they write past the cache is there when this returns.
template <class Body>
void for_boxes(std::int64_t rows, std::int64_t columns, Body body) {
    constexpr std::int64_t grain = box_grain;
    if (rows == 0 || columns == 0) return;
    const std::int64_t height = std::max<std::int64_t>(1, grain / columns);
    const std::int64_t bands = (rows + height - 1) / height;
    const std::int64_t strips = (columns + grain - 1) / grain;
    parallel_for(bands * strips, [&](std::int64_t number) {
        const std::int64_t row = number / strips * height, column = number % strips * grain;
        body(Box{row, std::min(row + height, rows), column, std::min(column + grain, columns)});
        copy_kernels().fence();
    });
}

}  // namespace voxelgrad

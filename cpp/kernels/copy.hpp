// Copying rows of bytes.
#pragma once

#include <cstdint>

#include "kernels/dispatch.hpp"

namespace voxelgrad {

// Rows that lie `pitch` bytes apart.
template <class Byte>
struct ByteRows {
    Byte* data;
    std::int64_t pitch;
};

struct CopyKernels {
    // The first `bytes` bytes of each row; the rows must not overlap. past_cache: write past the
    // cache; the target's rows and `bytes` are whole cache lines. Call fence after the last one,
    // before another thread may read.
    void (*rows)(ByteRows<const char> source, ByteRows<char> target, std::int64_t rows,
                 std::int64_t bytes, bool past_cache);
    // Deals the bytes of each of rows [row, row_end) of `source`, which have no gaps, out to
    // `count` targets in turn, `pitch` of each; all past the cache, as above. One run is read, in
    // order.
    void (*deal)(ByteRows<const char> source, const ByteRows<char>* targets, int count,
                 std::int64_t row, std::int64_t row_end);
    void (*fence)();
};

VOXELGRAD_KERNEL_TABLE(CopyKernels, copy)

}  // namespace voxelgrad

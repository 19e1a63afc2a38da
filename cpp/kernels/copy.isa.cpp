#include "kernels/copy.hpp"

#include "kernels/simd.hpp"

namespace voxelgrad::VOXELGRAD_ISA {
namespace {

constexpr int vector_bytes = lanes * 4;

// The processor does not foresee rows with gaps between them as well as it does a run.
template <std::uintptr_t ahead>
void stream_row(const char* source, char* target, std::int64_t bytes) {
    for (std::int64_t i = 0; i < bytes; i += vector_bytes) {
        ask_ahead<ahead>(source + i);
        Vec v;
        std::memcpy(&v, source + i, sizeof v);
        stream(reinterpret_cast<float*>(target + i), v);
    }
}

// Moves of `width` bytes; the last one overlaps the one before. width <= bytes.
template <int width>
void copy_rows_by(ByteRows<const char> source, ByteRows<char> target, std::int64_t rows,
                  std::int64_t bytes) {
    for (std::int64_t row = 0; row < rows; ++row) {
        const char* const from = source.data + row * source.pitch;
        char* const to = target.data + row * target.pitch;
        std::int64_t i = 0;
        for (; i + width <= bytes; i += width) std::memcpy(to + i, from + i, width);
        if (i < bytes) std::memcpy(to + bytes - width, from + bytes - width, width);
    }
}

void rows(ByteRows<const char> source, ByteRows<char> target, std::int64_t rows, std::int64_t bytes,
          bool past_cache) {
    if (source.pitch == bytes && target.pitch == bytes) {
        bytes *= rows;
        rows = 1;
    }
    if (past_cache) {
        const auto stream = source.pitch == bytes ? stream_row<soon> : stream_row<later>;
        for (std::int64_t row = 0; row < rows; ++row)
            stream(source.data + row * source.pitch, target.data + row * target.pitch, bytes);
        return;
    }
    if (bytes >= vector_bytes) return copy_rows_by<vector_bytes>(source, target, rows, bytes);
    if (bytes >= 32) return copy_rows_by<32>(source, target, rows, bytes);
    if (bytes >= 16) return copy_rows_by<16>(source, target, rows, bytes);
    if (bytes >= 8) return copy_rows_by<8>(source, target, rows, bytes);
    if (bytes >= 4) return copy_rows_by<4>(source, target, rows, bytes);
    if (bytes >= 2) return copy_rows_by<2>(source, target, rows, bytes);
    copy_rows_by<1>(source, target, rows, bytes);
}

void deal(ByteRows<const char> source, const ByteRows<char>* targets, int count, std::int64_t row,
          std::int64_t row_end) {
    const char* from = source.data + row * source.pitch;
    for (; row < row_end; ++row)
        for (int t = 0; t < count; ++t) {
            const std::int64_t bytes = targets[t].pitch;
            stream_row<soon>(from, targets[t].data + row * bytes, bytes);
            from += bytes;
        }
}

void fence() { stream_fence(); }

}  // namespace

extern const CopyKernels copy = {rows, deal, fence};

}  // namespace voxelgrad::VOXELGRAD_ISA

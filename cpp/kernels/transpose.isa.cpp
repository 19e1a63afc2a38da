#include "kernels/transpose.hpp"

#include "kernels/simd.hpp"

namespace voxelgrad::VOXELGRAD_ISA {
namespace {

// Take lanes of two vectors in turn: from their lower halves, from their upper halves.
template <int... lane>
struct ZipMasks {
    static constexpr IntVec low = {lane / 2 + lane % 2 * lanes...};
    static constexpr IntVec high = {lane / 2 + lanes / 2 + lane % 2 * lanes...};
};
template <int count, int... lane>
struct CountLanes : CountLanes<count - 1, count - 1, lane...> {};
template <int... lane>
struct CountLanes<0, lane...> : ZipMasks<lane...> {};
using Zip = CountLanes<lanes>;

// Zipping row i with row i + lanes / 2 moves one bit of the row's number into the lane's; after as
// many rounds as there are bits, rows and lanes have changed places.
[[gnu::always_inline]] inline void transpose_square(Vec* rows) {
    for (int round = 1; round < lanes; round *= 2) {
        Vec zipped[lanes];
        for (int i = 0; i < lanes / 2; ++i) {
            zipped[2 * i] = __builtin_shuffle(rows[i], rows[i + lanes / 2], Zip::low);
            zipped[2 * i + 1] = __builtin_shuffle(rows[i], rows[i + lanes / 2], Zip::high);
        }
        for (int i = 0; i < lanes; ++i) rows[i] = zipped[i];
    }
}

void square(const float* input, std::int64_t input_step, float* output, std::int64_t output_step,
            bool past_cache) {
    Vec rows[lanes];
    for (int i = 0; i < lanes; ++i) {
        rows[i] = load(input + i * input_step);
        __builtin_prefetch(input + (4 * lanes + i) * input_step);
    }
    transpose_square(rows);
    if (past_cache)
        for (int i = 0; i < lanes; ++i) stream(output + i * output_step, rows[i]);
    else
        for (int i = 0; i < lanes; ++i) store(output + i * output_step, rows[i]);
}

void rest(const float* input, std::int64_t input_step, float* output, std::int64_t output_step,
          std::int64_t rows, std::int64_t columns) {
    for (std::int64_t r = 0; r < rows; ++r)
        for (std::int64_t c = 0; c < columns; ++c)
            output[r * output_step + c] = input[c * input_step + r];
}

void matrix(const float* input, std::int64_t input_step, float* output, std::int64_t output_step,
            std::int64_t rows, std::int64_t columns, bool past_cache) {
    const bool streaming = past_cache && lanes == 16;  // a vector is a whole cache line
    std::int64_t c = 0;
    for (; c + lanes <= columns; c += lanes) {
        const float* const source = input + c * input_step;
        std::int64_t r = 0;
        for (; r + lanes <= rows; r += lanes)
            square(source + r, input_step, output + r * output_step + c, output_step, streaming);
        rest(source + r, input_step, output + r * output_step + c, output_step, rows - r, lanes);
    }
    rest(input + c * input_step, input_step, output + c, output_step, rows, columns - c);
    if (streaming) stream_fence();
}

}  // namespace

extern const TransposeKernels transpose = {matrix};

}  // namespace voxelgrad::VOXELGRAD_ISA

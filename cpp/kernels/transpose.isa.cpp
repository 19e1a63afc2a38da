#include "kernels/transpose.hpp"

#include "kernels/simd.hpp"

namespace voxelgrad::VOXELGRAD_ISA {
namespace {

// Elements are moved as integers of their size, as many in a row as a vector has room for.
template <class T>
struct Square;
template <>
struct Square<float> {
    static constexpr int size = lanes;
    typedef std::int32_t Row __attribute__((vector_size(size * 4)));
};
template <>
struct Square<bf16> {
    static constexpr int size = 2 * lanes;
    typedef std::int16_t Row __attribute__((vector_size(size * 2)));
};

// Take elements of two rows in turn: from their lower halves, from their upper halves.
template <class T, int... lane>
struct ZipMasks {
    static constexpr int size = Square<T>::size;
    static constexpr typename Square<T>::Row low = {lane / 2 + lane % 2 * size...};
    static constexpr typename Square<T>::Row high = {lane / 2 + size / 2 + lane % 2 * size...};
};
template <class T, int count, int... lane>
struct CountLanes : CountLanes<T, count - 1, count - 1, lane...> {};
template <class T, int... lane>
struct CountLanes<T, 0, lane...> : ZipMasks<T, lane...> {};
template <class T>
using Zip = CountLanes<T, Square<T>::size>;

// Zipping row i with row i + size / 2 moves one bit of the row's number into the lane's; after as
// many rounds as there are bits, rows and lanes have changed places.
template <class T>
[[gnu::always_inline]] inline void transpose_square(typename Square<T>::Row* rows) {
    constexpr int size = Square<T>::size;
    for (int round = 1; round < size; round *= 2) {
        typename Square<T>::Row zipped[size];
        for (int i = 0; i < size / 2; ++i) {
            zipped[2 * i] = __builtin_shuffle(rows[i], rows[i + size / 2], Zip<T>::low);
            zipped[2 * i + 1] = __builtin_shuffle(rows[i], rows[i + size / 2], Zip<T>::high);
        }
        for (int i = 0; i < size; ++i) rows[i] = zipped[i];
    }
}

template <class T>
void square(const T* input, std::int64_t input_step, T* output, std::int64_t output_step,
            bool past_cache) {
    constexpr int size = Square<T>::size;
    typename Square<T>::Row rows[size];
    for (int i = 0; i < size; ++i) {
        std::memcpy(&rows[i], input + i * input_step, sizeof rows[i]);
        __builtin_prefetch(input + (4 * size + i) * input_step);
    }
    transpose_square<T>(rows);
    for (int i = 0; i < size; ++i) {
        T* const target = output + i * output_step;
        if (past_cache)
            stream(reinterpret_cast<float*>(target), (Vec)rows[i]);
        else
            std::memcpy(target, &rows[i], sizeof rows[i]);
    }
}

template <class T>
void rest(const T* input, std::int64_t input_step, T* output, std::int64_t output_step,
          std::int64_t rows, std::int64_t columns) {
    for (std::int64_t r = 0; r < rows; ++r)
        for (std::int64_t c = 0; c < columns; ++c)
            output[r * output_step + c] = input[c * input_step + r];
}

template <class T>
void matrix(const T* input, std::int64_t input_step, T* output, std::int64_t output_step,
            std::int64_t rows, std::int64_t columns, bool past_cache) {
    constexpr int size = Square<T>::size;
    const bool streaming = past_cache && lanes == 16;  // a vector is a whole cache line
    const std::int64_t whole_rows = rows / size * size, whole_columns = columns / size * size;
    for (std::int64_t r = 0; r < whole_rows; r += size) {
        T* const target = output + r * output_step;
        for (std::int64_t c = 0; c < whole_columns; c += size)
            square(input + c * input_step + r, input_step, target + c, output_step, streaming);
    }
    rest(input + whole_rows, input_step, output + whole_rows * output_step, output_step,
         rows - whole_rows, whole_columns);
    rest(input + whole_columns * input_step, input_step, output + whole_columns, output_step, rows,
         columns - whole_columns);
    if (streaming) stream_fence();
}

}  // namespace

extern const TransposeKernels<float> transpose_float = {matrix<float>};
extern const TransposeKernels<bf16> transpose_bf16 = {matrix<bf16>};

}  // namespace voxelgrad::VOXELGRAD_ISA

// Gradients of a convolution whose output's gradient is mostly zeros, as behind a max-pool: each of
// its other numbers is multiplied with the window of the input that it came from.
//
// A window is rows of neighbouring numbers (columns times channels), as many vectors a row as are
// needed; what these hold beyond the row's end is ignored.
#pragma once

#include <cstdint>

#include "kernels/dispatch.hpp"

namespace voxelgrad {

struct SparseWindow {
    std::int64_t rows, row_step;  // floats from row to row
    int vectors, width;           // of a row; floats of a vector
};

struct SparseSum {
    SparseWindow window;
    const float* image;
    const float* values;
    const std::int32_t* places;  // of the windows in the image
    std::int64_t count;
    float* sums;  // [row][vector][lane]
};

// Windows of a max-pool that do not overlap, one channel.
struct SparsePooled {
    const float* numbers;
    const float* indices;        // the bits of integers
    const std::int32_t* places;  // of the first pixel of each window
    std::int64_t rows, columns;  // of windows
    std::int32_t window_rows, window_columns;
    std::int32_t row_step, pixel_step;  // of places, from pixel to pixel
};

struct SparseSpread {
    SparseWindow window;
    const float* pixels;  // of `channels` numbers, side by side
    std::int64_t count, channels;
    const float* weight;      // [channel][row][vector][lane], zeros beyond a row's end
    float* image;             // where the first pixel's window begins
    std::int64_t pixel_step;  // floats from window to window
};

struct ConvSparseKernels {
    int (*width)(std::int64_t row);  // best for rows of that many floats
    std::int64_t (*count)(const float* numbers, std::int64_t count);  // of those that are not zero
    // The numbers that are not zero, in order, with their places. Returns how many; up to a vector
    // behind them is overwritten, and a vector of places is read.
    std::int64_t (*list)(const float* numbers, const std::int32_t* places, std::int64_t count,
                         float* values, std::int32_t* listed_places);
    std::int64_t (*list_pooled)(const SparsePooled&, float* values, std::int32_t* listed_places);
    // sums += value * window, in the order of the list.
    void (*add)(const SparseSum&);
    // window += the pixel's numbers times their weights, pixel by pixel; zeros are left out.
    void (*spread)(const SparseSpread&);
    float (*total)(const float* values, std::int64_t count);
};

constexpr int sparse_most_vectors = 4;  // of a window's row

VOXELGRAD_KERNEL_TABLE(ConvSparseKernels, conv_sparse)

}  // namespace voxelgrad

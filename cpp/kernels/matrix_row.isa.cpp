#include "kernels/matrix_row.hpp"

#include "kernels/slope.hpp"

namespace voxelgrad::VOXELGRAD_ISA {
namespace {

constexpr int run = 4;       // vectors at once, so that additions need not wait for each other
constexpr int ahead = 1024;  // floats that are fetched before they are needed

float dot_row(const float* a, const float* b, std::int64_t count) {
    Vec sums[run] = {};
    std::int64_t i = 0;
    for (; i + run * lanes <= count; i += run * lanes) {
#pragma GCC unroll 4
        for (int j = 0; j < run; ++j) __builtin_prefetch(a + i + ahead + j * lanes);
#pragma GCC unroll 4
        for (int j = 0; j < run; ++j) sums[j] += load(a + i + j * lanes) * load(b + i + j * lanes);
    }
    for (; i < count; i += lanes)
        sums[0] += load_some(a + i, count - i) * load_some(b + i, count - i);
    return sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

void dot(const float* matrix, std::int64_t rows, std::int64_t columns, const float* vector,
         const float* start, float slope, float* output) {
    const Slope activation(slope);
    for (std::int64_t r = 0; r < rows; ++r, matrix += columns) {
        const float sum = (start ? start[r] : 0.0f) + dot_row(matrix, vector, columns);
        output[r] = activation(splat(sum))[0];
    }
}

void add(const float* matrix, std::int64_t rows, std::int64_t columns, const float* factor,
         float* sums) {
    for_each_vector(columns, [&](std::int64_t c, int n) { store_some(sums + c, Vec{}, n); });
    for (std::int64_t r = 0; r < rows; ++r, matrix += columns) {
        const Vec f = splat(factor[r]);
        for_each_vector(columns, [&](std::int64_t c, int n) {
            store_some(sums + c, load_some(sums + c, n) + f * load_some(matrix + c, n), n);
        });
    }
}

}  // namespace

extern const MatrixRowKernels matrix_row = {dot, add};

}  // namespace voxelgrad::VOXELGRAD_ISA

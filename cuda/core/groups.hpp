// Sums over the threads of a block, and over groups of neighbouring lanes; the order is fixed.
#pragma once

#include <cstdint>

#include "cuda/core/launch.hpp"

namespace voxelgrad::cuda {

constexpr int warp_lanes = 32;
constexpr unsigned whole_warp = 0xFFFFFFFFu;

// `lanes` is a power of two up to 32; every thread of the warp must call these.
template <class T>
__device__ T group_sum(T value, int lanes) {
    for (int step = lanes / 2; step > 0; step /= 2)
        value += __shfl_xor_sync(whole_warp, value, step, lanes);
    return value;
}

// NaN wins.
__device__ inline float group_largest(float value, int lanes) {
    for (int step = lanes / 2; step > 0; step /= 2) {
        const float other = __shfl_xor_sync(whole_warp, value, step, lanes);
        value = other > value || other != other ? other : value;
    }
    return value;
}

// The sum over a block of `block_threads`, in thread 0; every thread must call it.
template <class T>
__device__ T block_sum(T value) {
    VOXELGRAD_SHARED(totals, T[block_threads]);
    const int thread = threadIdx.x;
    __syncthreads();  // an earlier sum may still be read
    totals[thread] = value;
    for (int half = block_threads / 2; half > 0; half /= 2) {
        __syncthreads();
        if (thread < half) totals[thread] += totals[thread + half];
    }
    __syncthreads();
    return totals[0];
}

constexpr int power_of_two_up_to(std::int64_t n, int most) {
    int power = 1;
    while (power < most && power < n) power *= 2;
    return power;
}

// Rows of scores, each worked on by a group of lanes of one warp.
struct LaneRows {
    std::int64_t rows;
    int lanes;

    LaneRows(std::int64_t rows, std::int64_t length)
        : rows(rows), lanes(power_of_two_up_to(length, warp_lanes)) {}
    constexpr int rows_a_block() const { return block_threads / lanes; }
    Grid grid(int rows_a_group = 1) const {
        const std::int64_t a_block = std::int64_t(rows_a_block()) * rows_a_group;
        return {dim3(static_cast<unsigned>(divide_up(rows, a_block))), dim3(block_threads)};
    }
};

}  // namespace voxelgrad::cuda

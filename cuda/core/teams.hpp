// Threads of a block that reduce together: teams of a power of two, in a fixed tree.
#pragma once

#include <algorithm>
#include <cstdint>

#include "cuda/core/groups.hpp"

namespace voxelgrad::cuda {

// Blocks of block_threads are cut into teams of `size` threads, one a job.
struct Teams {
    std::int64_t jobs;
    int size;

    // With enough threads that each handles about `share` of a job's `things`, at most a block.
    Teams(std::int64_t jobs, std::int64_t things, int share)
        : jobs(jobs), size(power_of_two_up_to(divide_up(things, share), block_threads)) {}

    Grid grid() const {
        return {dim3(static_cast<unsigned>(divide_up(jobs, block_threads / size))),
                dim3(block_threads)};
    }
    __device__ std::int64_t job() const {
        return std::int64_t(blockIdx.x) * (block_threads / size) + threadIdx.x / size;
    }
    __device__ int member() const { return static_cast<int>(threadIdx.x) % size; }

    // The results of a team's members, combined; every thread of the block has to call it. `memory`
    // is shared, of block_threads elements.
    template <class T, class Combine>
    __device__ T combine(T* memory, T value, const Combine& combine_two) const {
        __syncthreads();  // what an earlier call left has been read
        memory[threadIdx.x] = value;
        for (int half = size / 2; half > 0; half /= 2) {
            __syncthreads();
            if (member() < half)
                memory[threadIdx.x] = combine_two(memory[threadIdx.x], memory[threadIdx.x + half]);
        }
        __syncthreads();
        return memory[threadIdx.x - member()];
    }
    // Those of a warp by shuffles, then those of a team's warps in order.
    template <class T>
    __device__ T sum(T* memory, T value) const {
        value = group_sum(value, std::min(size, int{warp_lanes}));
        if (size <= warp_lanes) return value;
        __syncthreads();  // what an earlier call left has been read
        const int thread = static_cast<int>(threadIdx.x);
        if (thread % warp_lanes == 0) memory[thread / warp_lanes] = value;
        __syncthreads();
        const int first = (thread - member()) / warp_lanes;
        value = memory[first];
        for (int warp = 1; warp < size / warp_lanes; ++warp) value += memory[first + warp];
        return value;
    }
};

}  // namespace voxelgrad::cuda

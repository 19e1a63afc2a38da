// Two totals over many rows in double, {sum of losses, sum of weights}: each block adds up its
// rows, one block the sums of the blocks, both in a fixed order.
#pragma once

#include "core/view.hpp"
#include "cuda/core/groups.hpp"
#include "cuda/core/workspace.hpp"

namespace voxelgrad::cuda {

constexpr int rows_a_group = 8;

struct Totals {
    double losses, weights;
};

// `terms(row, exists, lane, lanes)` is called by all lanes of a row's group, also where there is no
// such row; what it returns in lane 0 counts.
template <class Terms>
__global__ void totals_kernel(Terms terms, LaneRows all, Totals* parts) {
    const int lane = threadIdx.x % all.lanes, group = threadIdx.x / all.lanes;
    Totals sum{0.0, 0.0};
    for (int i = 0; i < rows_a_group; ++i) {
        const std::int64_t row =
            (std::int64_t(blockIdx.x) * rows_a_group + i) * all.rows_a_block() + group;
        const bool exists = row < all.rows;
        const Totals own = terms(row, exists, lane, all.lanes);
        if (exists && lane == 0) {
            sum.losses += own.losses;
            sum.weights += own.weights;
        }
    }
    const double losses = block_sum(sum.losses), weights = block_sum(sum.weights);
    if (threadIdx.x == 0) parts[blockIdx.x] = {losses, weights};
}

// One block.
static __global__ void sum_parts_kernel(const Totals* parts, std::int64_t count, double* totals) {
    Totals sum{0.0, 0.0};
    for (std::int64_t i = threadIdx.x; i < count; i += blockDim.x) {
        sum.losses += parts[i].losses;
        sum.weights += parts[i].weights;
    }
    const double losses = block_sum(sum.losses), weights = block_sum(sum.weights);
    if (threadIdx.x != 0) return;
    totals[0] = losses;
    totals[1] = weights;
}

template <class Terms>
void sum_totals(const char* op, Stream stream, const Terms& terms, const LaneRows& all,
                const View<double>& totals) {
    const Grid grid = all.grid(rows_a_group);
    const Workspace<Totals> parts(grid.blocks.x);
    launch(op, stream, grid, totals_kernel<Terms>, terms, all, parts.data());
    launch(op, stream, {dim3(1), dim3(block_threads)}, sum_parts_kernel, parts.data(),
           std::int64_t(grid.blocks.x), totals.data);
}

}  // namespace voxelgrad::cuda

// Totals of a loss: each chunk gives two sums in double, which are added in the chunks' order.
#pragma once

#include "core/parallel_for.hpp"
#include "core/pool.hpp"
#include "core/view.hpp"

namespace voxelgrad {

// Runs body(begin, end, chunk_totals) over [0, count) in pieces of `grain` and writes the sums.
// When a chunk throws, totals stay as they were.
template <class Body>
void sum_chunks(std::int64_t count, std::int64_t grain, const View<double>& totals, Body body) {
    const std::int64_t chunks = (count + grain - 1) / grain;
    const Workspace<double> parts(2 * chunks);
    parallel_for_ranges(count, grain, [&](std::int64_t begin, std::int64_t end) {
        body(begin, end, parts.data() + begin / grain * 2);
    });
    double sums[2] = {0.0, 0.0};
    for (std::int64_t i = 0; i < 2 * chunks; ++i) sums[i % 2] += parts[i];
    totals.data[0] = sums[0];
    totals.data[1] = sums[1];
}

}  // namespace voxelgrad

#include "ops/limits.hpp"

#include <atomic>

#include "core/parallel_for.hpp"
#include "kernels/peak.hpp"

namespace voxelgrad {

std::int64_t run_fma(std::int64_t rounds) {
    std::atomic<std::int64_t> operations{0};
    parallel_for(num_threads(), [&](std::int64_t) {
        float sink = 0.5f;
        operations += peak_kernels().fma(rounds, &sink);
    });
    return operations;
}

}  // namespace voxelgrad

#include "kernels/peak.hpp"

#include "kernels/simd.hpp"

namespace voxelgrad::VOXELGRAD_ISA {
namespace {

constexpr int chains = 12;  // enough to hide the latency of an addition on two units

std::int64_t fma(std::int64_t rounds, float* sink) {
    Vec sums[chains];
    for (int i = 0; i < chains; ++i) sums[i] = splat(sink[0] + static_cast<float>(i));
    const Vec factor = splat(0.999f), term = splat(0.001f);
    for (std::int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 12
        for (int i = 0; i < chains; ++i) sums[i] = sums[i] * factor + term;
    }
    Vec total{};
    for (int i = 0; i < chains; ++i) total += sums[i];
    sink[0] = sum(total);
    return rounds * chains * lanes * 2;
}

}  // namespace

extern const PeakKernels peak = {fma};

}  // namespace voxelgrad::VOXELGRAD_ISA

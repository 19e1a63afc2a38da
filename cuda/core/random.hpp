// Counter-based random bits: element i's depend on the seed and i alone, as on the CPU.
#pragma once

#include <cstdint>

#include "cuda/core/platform.hpp"

namespace voxelgrad::cuda {

// splitmix64 number `counter` (G. L. Steele, D. Lea, C. H. Flood, Fast splittable pseudorandom
// number generators, 2014).
__device__ inline std::uint64_t random_bits(std::uint64_t seed, std::int64_t counter) {
    std::uint64_t z = seed + (static_cast<std::uint64_t>(counter) + 1) * 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

}  // namespace voxelgrad::cuda

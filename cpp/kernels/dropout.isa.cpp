#include "kernels/dropout.hpp"

#include "kernels/simd.hpp"

namespace voxelgrad::VOXELGRAD_ISA {
namespace {

typedef std::uint64_t Counter __attribute__((vector_size(lanes * 4)));  // one for two lanes

constexpr std::uint64_t golden = 0x9E3779B97F4A7C15u;

// splitmix64 (G. L. Steele, D. Lea, C. H. Flood, Fast splittable pseudorandom number generators,
// 2014); of each half the upper 24 bits.
[[gnu::always_inline]] inline IntVec random_bits(Counter z) {
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    z = z ^ (z >> 31);
    return (IntVec)((BitVec)z >> 8);
}

template <class T>
void apply(const T* input, T* output, std::int64_t first, std::int64_t count, std::uint64_t seed,
           std::int32_t threshold, float scale, bool past_cache) {
    Counter counter;
    for (int pair = 0; pair < lanes / 2; ++pair)
        counter[pair] = seed + static_cast<std::uint64_t>(first / 2 + pair + 1) * golden;
    for_each_vector(count, [&](std::int64_t i, int n) __attribute__((always_inline)) {
        const IntVec keep = random_bits(counter) >= threshold;
        counter += lanes / 2 * golden;
        const Vec scaled = load_ahead(input + i, n) * scale;
        put_some(output + i, select(keep, scaled, Vec{}), n, past_cache);
    });
    if (past_cache) stream_fence();
}

}  // namespace

extern const DropoutKernels<float> dropout_float = {apply<float>};
extern const DropoutKernels<bf16> dropout_bf16 = {apply<bf16>};

}  // namespace voxelgrad::VOXELGRAD_ISA

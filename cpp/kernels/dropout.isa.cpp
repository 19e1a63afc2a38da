#include "kernels/dropout.hpp"

#include "kernels/wide.hpp"

namespace voxelgrad::VOXELGRAD_ISA {
namespace {

typedef std::uint64_t Counter __attribute__((vector_size(wide_lanes * 8)));
typedef std::int32_t HalfInt __attribute__((vector_size(wide_lanes * 4)));

constexpr std::uint64_t golden = 0x9E3779B97F4A7C15u;

// The top 24 bits of splitmix64 (G. L. Steele, D. Lea, C. H. Flood, Fast splittable pseudorandom
// number generators, 2014).
[[gnu::always_inline]] inline HalfInt random_bits(Counter z) {
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    z = z ^ (z >> 31);
    return __builtin_convertvector(z >> 40, HalfInt);
}

[[gnu::always_inline]] inline IntVec random_bits(Counter low, Counter high) {
    const HalfInt halves[2] = {random_bits(low), random_bits(high)};
    IntVec whole;
    std::memcpy(&whole, halves, sizeof whole);
    return whole;
}

template <class T>
void apply(const T* input, T* output, std::int64_t first, std::int64_t count, std::uint64_t seed,
           std::int32_t threshold, float scale, bool past_cache) {
    Counter low;
    for (int lane = 0; lane < wide_lanes; ++lane)
        low[lane] = seed + static_cast<std::uint64_t>(first + lane + 1) * golden;
    Counter high = low + wide_lanes * golden;
    for_each_vector(count, [&](std::int64_t i, int n) __attribute__((always_inline)) {
        const IntVec keep = random_bits(low, high) >= threshold;
        const Vec kept = select(keep, load_ahead(input + i, n) * scale, Vec{});
        put_some(output + i, kept, n, past_cache);
        low += lanes * golden;
        high += lanes * golden;
    });
    if (past_cache) stream_fence();
}

}  // namespace

extern const DropoutKernels<float> dropout_float = {apply<float>};
extern const DropoutKernels<bf16> dropout_bf16 = {apply<bf16>};

}  // namespace voxelgrad::VOXELGRAD_ISA

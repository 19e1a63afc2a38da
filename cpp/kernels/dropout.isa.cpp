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

template <class T>
void apply(const T* input, T* output, std::int64_t first, std::int64_t count, std::uint64_t seed,
           std::int32_t threshold, float scale) {
    Counter counter;
    for (int lane = 0; lane < wide_lanes; ++lane)
        counter[lane] = seed + static_cast<std::uint64_t>(first + lane + 1) * golden;
    const HalfVec zero{};
    for (std::int64_t i = 0; i < count; i += wide_lanes) {
        const HalfInt keep = random_bits(counter) >= threshold;
        counter += wide_lanes * golden;
        if (i + wide_lanes <= count) {
            store_half(output + i, keep ? load_half(input + i) * scale : zero);
            continue;
        }
        for (int lane = 0; i + lane < count; ++lane)
            output[i + lane] = rounded_to<T>(keep[lane] ? to_float(input[i + lane]) * scale : 0.0f);
    }
}

}  // namespace

extern const DropoutKernels<float> dropout_float = {apply<float>};
extern const DropoutKernels<bf16> dropout_bf16 = {apply<bf16>};

}  // namespace voxelgrad::VOXELGRAD_ISA

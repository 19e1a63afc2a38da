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

constexpr int run = 8;  // vectors a round: two loads a cycle need as many independent additions

float read(const float* a, std::int64_t count) {
    Vec sums[run] = {};
    for (std::int64_t i = 0; i < count; i += run * lanes) {
#pragma GCC unroll 8
        for (int j = 0; j < run; ++j) sums[j] += load(a + i + j * lanes);
    }
    Vec total{};
    for (int j = 0; j < run; ++j) total += sums[j];
    return sum(total);
}

void write(float* output, std::int64_t count) {
    const Vec value = splat(0.999f);
    for (std::int64_t i = 0; i < count; i += lanes) store(output + i, value);
}

void copy(const float* a, float* output, std::int64_t count) {
    for (std::int64_t i = 0; i < count; i += lanes) store(output + i, load(a + i));
}

void triad(const float* a, const float* b, float* output, std::int64_t count) {
    const Vec factor = splat(0.999f);
    for (std::int64_t i = 0; i < count; i += lanes)
        store(output + i, load(a + i) + factor * load(b + i));
}

void triad_past_cache(const float* a, const float* b, float* output, std::int64_t count) {
    const Vec factor = splat(0.999f);
    for (std::int64_t i = 0; i < count; i += lanes)
        stream(output + i, load(a + i) + factor * load(b + i));
}

constexpr int quarters = 4;

void spread_past_cache(const float* a, float* output, std::int64_t count) {
    for (std::int64_t i = 0; i < count; i += quarters * lanes) {
        const Vec value = load(a + i / quarters);
        for (int k = 0; k < quarters; ++k) stream(output + i + k * lanes, value);
    }
}

void gather_past_cache(const float* a, float* output, std::int64_t count) {
    for (std::int64_t i = 0; i < count; i += quarters * lanes) {
        Vec sum = load(a + i);
        for (int k = 1; k < quarters; ++k) sum += load(a + i + k * lanes);
        stream(output + i / quarters, sum);
    }
}

}  // namespace

extern const PeakKernels peak = {
    fma, read, write, copy, triad, triad_past_cache, spread_past_cache, gather_past_cache};

}  // namespace voxelgrad::VOXELGRAD_ISA

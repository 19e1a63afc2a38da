#include "kernels/winograd_depth.hpp"

#include "kernels/simd.hpp"

namespace voxelgrad::VOXELGRAD_ISA {
namespace {

void input(const float* slices, std::int64_t size, std::int64_t pairs, float* parts,
           std::int64_t stride) {
    for (std::int64_t i = 0; i < size; i += lanes) {
        const float* source = slices + i;
        float* target = parts + i;
        Vec first = load(source), second = load(source + size);
        for (std::int64_t pair = 0; pair < pairs; ++pair, target += size) {
            source += winograd_depth_pair * size;
            const Vec third = load(source), fourth = load(source + size);
            store(target, first - third);
            store(target + stride, second + third);
            store(target + 2 * stride, third - second);
            store(target + 3 * stride, second - fourth);
            first = third;
            second = fourth;
        }
    }
}

void gradient(const float* slices, std::int64_t size, std::int64_t pairs, float* parts,
              std::int64_t stride) {
    for (std::int64_t pair = 0; pair < pairs; ++pair) {
        const float* source = slices + winograd_depth_pair * pair * size;
        float* target = parts + pair * size;
        for (std::int64_t i = 0; i < size; i += lanes) {
            const Vec first = load(source + i), second = load(source + size + i);
            store(target + i, first);
            store(target + stride + i, first + second);
            store(target + 2 * stride + i, first - second);
            store(target + 3 * stride + i, -second);
        }
    }
}

void output(const float* parts, std::int64_t stride, std::int64_t size, std::int64_t pairs,
            float* slices) {
    for (std::int64_t pair = 0; pair < pairs; ++pair) {
        const float* source = parts + pair * size;
        float* target = slices + winograd_depth_pair * pair * size;
        for (std::int64_t i = 0; i < size; i += lanes) {
            const Vec second = load(source + stride + i), third = load(source + 2 * stride + i);
            store(target + i, load(source + i) + (second + third));
            store(target + size + i, second - third - load(source + 3 * stride + i));
        }
    }
}

void weight(float* taps, std::int64_t stride) {
    for (std::int64_t i = 0; i < stride; i += lanes) {
        const Vec first = load(taps + i), last = load(taps + 2 * stride + i);
        const Vec even = 0.5f * (first + last), odd = 0.5f * load(taps + stride + i);
        store(taps + stride + i, even + odd);
        store(taps + 2 * stride + i, even - odd);
        store(taps + 3 * stride + i, last);
    }
}

void weight_gradient(float* sums, std::int64_t stride) {
    for (std::int64_t i = 0; i < stride; i += lanes) {
        const Vec second = load(sums + stride + i), third = load(sums + 2 * stride + i);
        const Vec even = 0.5f * (second + third);
        store(sums + i, load(sums + i) + even);
        store(sums + stride + i, 0.5f * (second - third));
        store(sums + 2 * stride + i, even + load(sums + 3 * stride + i));
    }
}

}  // namespace

extern const WinogradDepthKernels winograd_depth = {input, gradient, output, weight,
                                                    weight_gradient};

}  // namespace voxelgrad::VOXELGRAD_ISA

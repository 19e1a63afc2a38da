#include "kernels/conv_depthwise.hpp"

#include "kernels/simd.hpp"

namespace voxelgrad::VOXELGRAD_ISA {
namespace {

void multiply_add_row(const float* input, std::int64_t input_stride, const float* weight,
                      float* output, std::int64_t output_stride, std::int64_t pixels,
                      std::int64_t channels) {
    for (std::int64_t p = 0; p < pixels; ++p, input += input_stride, output += output_stride) {
        std::int64_t c = 0;
        for (; c + lanes <= channels; c += lanes)
            store(output + c, load(output + c) + load(input + c) * load(weight + c));
        for (; c < channels; ++c) output[c] += input[c] * weight[c];
    }
}

void dot_row(const float* a, std::int64_t a_stride, const float* b, std::int64_t b_stride,
             float* sums, std::int64_t pixels, std::int64_t channels) {
    std::int64_t c = 0;
    for (; c + lanes <= channels; c += lanes) {
        Vec total{};
        for (std::int64_t p = 0; p < pixels; ++p)
            total += load(a + p * a_stride + c) * load(b + p * b_stride + c);
        store(sums + c, load(sums + c) + total);
    }
    for (; c < channels; ++c) {
        float total = 0.0f;
        for (std::int64_t p = 0; p < pixels; ++p)
            total += a[p * a_stride + c] * b[p * b_stride + c];
        sums[c] += total;
    }
}

}  // namespace

extern const DepthwiseKernels depthwise = {multiply_add_row, dot_row};

}  // namespace voxelgrad::VOXELGRAD_ISA

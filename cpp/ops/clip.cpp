#include "ops/clip.hpp"

#include <algorithm>

#include "core/check.hpp"
#include "core/parallel_for.hpp"

namespace voxelgrad {
namespace {

constexpr std::int64_t grain = 1 << 15;  // elements a chunk: 128 KiB, stays in L2

}  // namespace

void clip_forward(View<const float> input, View<float> output, float low, float high) {
    check_same_shape("clip_forward", "input", input, "output", output);
    parallel_for_ranges(input.size(), grain, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i)
            output.data[i] = std::clamp(input.data[i], low, high);
    });
}

void clip_backward(View<const float> grad_output, View<const float> input, View<float> grad_input,
                   float low, float high) {
    check_same_shape("clip_backward", "grad_output", grad_output, "input", input);
    check_same_shape("clip_backward", "grad_output", grad_output, "grad_input", grad_input);
    parallel_for_ranges(input.size(), grain, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
            const bool inside = input.data[i] > low && input.data[i] < high;
            grad_input.data[i] = inside ? grad_output.data[i] : 0.0f;
        }
    });
}

}  // namespace voxelgrad

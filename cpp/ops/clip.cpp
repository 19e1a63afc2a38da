#include "ops/clip.hpp"

#include <algorithm>

#include "core/check.hpp"
#include "core/parallel_for.hpp"

namespace voxelgrad {
namespace {

constexpr std::int64_t grain = 1 << 15;  // elements a chunk: 128 KiB, stays in L2

}  // namespace

template <class T>
void clip_forward(View<const T> input, View<T> output, float low, float high) {
    check_same_shape("clip_forward", "input", input, "output", output);
    parallel_for_ranges(input.size(), grain, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i)
            output.data[i] = rounded_to<T>(std::clamp(to_float(input.data[i]), low, high));
    });
}

template <class T>
void clip_backward(View<const T> grad_output, View<const T> input, View<T> grad_input, float low,
                   float high) {
    check_same_shape("clip_backward", "grad_output", grad_output, "input", input);
    check_same_shape("clip_backward", "grad_output", grad_output, "grad_input", grad_input);
    parallel_for_ranges(input.size(), grain, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
            const float value = to_float(input.data[i]);
            const bool inside = value > low && value < high;
            grad_input.data[i] = inside ? grad_output.data[i] : rounded_to<T>(0.0f);
        }
    });
}

template void clip_forward(View<const float>, View<float>, float, float);
template void clip_forward(View<const bf16>, View<bf16>, float, float);
template void clip_backward(View<const float>, View<const float>, View<float>, float, float);
template void clip_backward(View<const bf16>, View<const bf16>, View<bf16>, float, float);

}  // namespace voxelgrad

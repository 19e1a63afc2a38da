#include "ops/cast.hpp"

#include "core/check.hpp"
#include "core/parallel_for.hpp"
#include "core/streaming.hpp"
#include "kernels/cast.hpp"

namespace voxelgrad {
namespace {

constexpr std::int64_t grain = 1 << 15;  // elements a chunk

template <class From, class To>
void convert(View<const From> input, View<To> output,
             void (*kernel)(const From*, To*, std::int64_t, bool)) {
    check_same_shape("cast", "input", input, "output", output);
    const bool large = worth_streaming(output.data, output.size(), grain);
    parallel_for_ranges(input.size(), grain, [&](std::int64_t begin, std::int64_t end) {
        kernel(input.data + begin, output.data + begin, end - begin, large);
    });
}

}  // namespace

void narrow(View<const float> input, View<bf16> output) {
    convert(input, output, cast_kernels().narrow);
}

void widen(View<const bf16> input, View<float> output) {
    convert(input, output, cast_kernels().widen);
}

}  // namespace voxelgrad

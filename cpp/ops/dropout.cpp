#include "ops/dropout.hpp"

#include <cmath>

#include "core/check.hpp"
#include "core/parallel_for.hpp"
#include "core/streaming.hpp"
#include "kernels/dropout.hpp"

namespace voxelgrad {

template <class T>
void dropout(View<const T> input, View<T> output, double p, std::uint64_t seed) {
    constexpr std::int64_t grain = 1 << 15;  // elements a chunk
    check_same_shape("dropout", "input", input, "output", output);
    check(p >= 0.0 && p <= 1.0, "dropout: p is ", p, "; it must lie in [0, 1]");
    // n * 2^-24 >= p for whole n exactly if n >= threshold.
    const auto threshold = static_cast<std::int32_t>(std::ceil(p * 16777216.0));
    const float scale = p < 1.0 ? static_cast<float>(1.0 / (1.0 - p)) : 0.0f;
    const auto& kernels = dropout_kernels<T>();
    const bool past_cache =
        input.data != output.data && worth_streaming(output.data, output.size(), grain);
    parallel_for_ranges(input.size(), grain, [&](std::int64_t begin, std::int64_t end) {
        kernels.apply(input.data + begin, output.data + begin, begin, end - begin, seed, threshold,
                      scale, past_cache);
    });
}

template void dropout(View<const float>, View<float>, double, std::uint64_t);
template void dropout(View<const bf16>, View<bf16>, double, std::uint64_t);

}  // namespace voxelgrad

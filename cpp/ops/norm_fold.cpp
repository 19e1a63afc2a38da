#include <algorithm>
#include <cmath>

#include "core/parallel_for.hpp"
#include "ops/norm.hpp"
#include "ops/norm_problem.hpp"

namespace voxelgrad {

void batch_norm_fold(View<const float> weight, OptionalView<const float> bias,
                     OptionalView<const float> norm_weight, OptionalView<const float> norm_bias,
                     View<const float> mean, View<const float> variance, View<float> folded_weight,
                     View<float> folded_bias, double eps) {
    constexpr const char* op = "batch_norm_fold";
    check_fold(op, weight, bias, norm_weight, norm_bias, mean, variance, folded_weight,
               folded_bias);
    const std::int64_t channels = weight[0];
    const std::int64_t fan_in = weight.count(1, weight.rank);
    const std::int64_t grain = std::max<std::int64_t>(1, (std::int64_t{1} << 15) / fan_in);
    parallel_for_ranges(channels, grain, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t c = begin; c < end; ++c) {
            const double scale =
                (norm_weight ? norm_weight.data[c] : 1.0) / std::sqrt(variance.data[c] + eps);
            const double shift = (bias ? bias.data[c] : 0.0) - static_cast<double>(mean.data[c]);
            folded_bias.data[c] =
                static_cast<float>((norm_bias ? norm_bias.data[c] : 0.0) + shift * scale);
            for (std::int64_t i = c * fan_in; i < (c + 1) * fan_in; ++i)
                folded_weight.data[i] = static_cast<float>(weight.data[i] * scale);
        }
    });
}

}  // namespace voxelgrad

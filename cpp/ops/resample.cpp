#include "ops/resample.hpp"

#include <utility>

#include "ops/resampling_axes.hpp"
#include "ops/window.hpp"

namespace voxelgrad {

using Integers = View<const std::int32_t>;

template <class T>
void resample(View<const T> input, View<T> output, const std::vector<Integers>& starts,
              const std::vector<Integers>& positions,
              const std::vector<View<const float>>& weights) {
    auto axes = resampling_axes(input, output, starts, positions, weights);
    window_sum({input[0], std::move(axes), input.last()}, input.data, output.data);
}

template void resample(View<const float>, View<float>, const std::vector<Integers>&,
                       const std::vector<Integers>&, const std::vector<View<const float>>&);
template void resample(View<const bf16>, View<bf16>, const std::vector<Integers>&,
                       const std::vector<Integers>&, const std::vector<View<const float>>&);

}  // namespace voxelgrad

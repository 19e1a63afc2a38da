#include "ops/resample.hpp"

#include <utility>

#include "core/check.hpp"
#include "ops/window.hpp"

namespace voxelgrad {
namespace {

using std::int64_t;
using Integers = View<const std::int32_t>;

WindowAxis table(int64_t source, int64_t target, const Integers& starts, const Integers& positions,
                 const View<const float>& weights) {
    constexpr const char* op = "resample";
    check(starts.rank == 1 && positions.rank == 1 && same_shape(positions, weights), op,
          ": starts, positions and weights must be lists, the last two of one length");
    check(starts.size() == target + 1 && starts.data[0] == 0 &&
              starts.data[target] == positions.size(),
          op, ": starts must rise from 0 to ", positions.size(), " in ", target + 1, " entries");
    WindowAxis axis{source, {0}, {}};
    for (int64_t i = 0; i < target; ++i) {
        check(starts.data[i] <= starts.data[i + 1], op, ": starts fall at ", i);
        for (int64_t t = starts.data[i]; t < starts.data[i + 1]; ++t) {
            const int64_t position = positions.data[t];
            check(position >= 0 && position < source, op, ": position ", position,
                  " lies outside an axis of length ", source);
            axis.add(position, 0, weights.data[t]);
        }
        axis.finish_target();
    }
    return axis;
}

}  // namespace

template <class T>
void resample(View<const T> input, View<T> output, const std::vector<Integers>& starts,
              const std::vector<Integers>& positions,
              const std::vector<View<const float>>& weights) {
    check_window_images("resample", input, output);
    const std::size_t rank = static_cast<std::size_t>(input.rank) - 2;
    check(starts.size() == rank && positions.size() == rank && weights.size() == rank,
          "resample: starts, positions and weights must have ", rank, " lists each");
    std::vector<WindowAxis> axes;
    for (std::size_t a = 0; a < rank; ++a) {
        const int axis = static_cast<int>(a) + 1;
        axes.push_back(table(input[axis], output[axis], starts[a], positions[a], weights[a]));
    }
    window_sum({input[0], std::move(axes), input.last()}, input.data, output.data);
}

template void resample(View<const float>, View<float>, const std::vector<Integers>&,
                       const std::vector<Integers>&, const std::vector<View<const float>>&);
template void resample(View<const bf16>, View<bf16>, const std::vector<Integers>&,
                       const std::vector<Integers>&, const std::vector<View<const float>>&);

}  // namespace voxelgrad

// Which arrays of the augmentation fit together; see augment.hpp.
#pragma once

#include <initializer_list>

#include "core/check.hpp"

namespace voxelgrad {

inline void check_mapping(const char* op, int rank, const View<const double>& matrix,
                          const View<const double>& offset,
                          const OptionalView<const float>& displacement,
                          const std::int64_t* shape) {
    check(rank == 2 || rank == 3, op, ": images must have 2 or 3 spatial axes, not ", rank);
    check(matrix.rank == 2 && matrix[0] == rank && matrix[1] == rank, op, ": matrix ", matrix,
          " must be (", rank, ", ", rank, ")");
    check(offset.rank == 1 && offset[0] == rank, op, ": offset ", offset, " must be (", rank, ",)");
    if (!displacement) return;
    check(displacement.rank == rank + 1 && displacement.last() == rank, op, ": displacement ",
          displacement, " must be (*output, ", rank, ")");
    for (int axis = 0; axis < rank; ++axis)
        check(displacement[axis] == shape[axis], op, ": displacement ", displacement,
              " must have the output's spatial shape");
}

inline void check_linear(const View<const float>& image, const View<float>& output,
                         const View<const float>& fill) {
    const int rank = image.rank - 1;
    check(output.rank == image.rank && rank > 0 && output.last() == image.last(),
          "resample_linear: output ", output, " must have the rank and channels of image ", image);
    check(fill.rank == 1 && fill[0] == image.last(), "resample_linear: fill ", fill, " must be (",
          image.last(), ",)");
}

// `settings` are arrays of one number a channel.
inline void check_intensity(const View<const float>& image, const View<float>& output,
                            std::initializer_list<const View<const float>*> settings) {
    check_same_shape("adjust_intensity", "image", image, "output", output);
    check(image.rank > 0, "adjust_intensity: image must have a channel axis");
    const std::int64_t channels = image.last();
    for (const auto* each : settings)
        check(each->rank == 1 && (*each)[0] == channels, "adjust_intensity: ", *each, " must be (",
              channels, ",) for image ", image);
}

}  // namespace voxelgrad

// One geometry for convolution and transposed convolution, ranks 1 to 3.
//
// A convolution ties a fine grid (its input) to a coarse grid (its output):
//     fine index = stride * coarse index + dilation * tap - padding        on each axis.
// Forward computes coarse from fine, backward-data computes fine from coarse. A transposed
// convolution is the same tie with the parts exchanged: its input is the coarse grid. So three
// operations serve all six passes; they differ in the order of the weight only. Missing axes have
// size 1.
#pragma once

#include <cstdint>

#include "core/view.hpp"

namespace voxelgrad {

constexpr int conv_axes = 3;

struct ConvGeometry {
    std::int64_t batch;
    std::int64_t fine[conv_axes], coarse[conv_axes];
    std::int64_t kernel[conv_axes], stride[conv_axes], padding[conv_axes], dilation[conv_axes];
    std::int64_t groups;
    std::int64_t fine_channels, coarse_channels;  // of one group
    bool transposed;  // weight is (fine channels, *kernel, coarse channels of a group)

    std::int64_t taps() const { return kernel[0] * kernel[1] * kernel[2]; }
    std::int64_t weight_size() const { return groups * fine_channels * coarse_channels * taps(); }
    std::int64_t fine_pixels() const { return fine[0] * fine[1] * fine[2]; }
    std::int64_t coarse_pixels() const { return coarse[0] * coarse[1] * coarse[2]; }

    std::int64_t multiply_adds() const {
        return batch * coarse_pixels() * groups * coarse_channels * fine_channels * taps();
    }

    // Where the weight between two channels of a group lies for tap number `tap` (row-major).
    std::int64_t weight_index(std::int64_t group, std::int64_t coarse_channel,
                              std::int64_t fine_channel, std::int64_t tap) const {
        return transposed
                   ? ((group * fine_channels + fine_channel) * taps() + tap) * coarse_channels +
                         coarse_channel
                   : ((group * coarse_channels + coarse_channel) * taps() + tap) * fine_channels +
                         fine_channel;
    }
};

// Checks the shapes (ValueError naming `op`) and fills in the missing axes.
// `fine` and `coarse` are (N, *spatial, C); weight as above.
ConvGeometry conv_geometry(const char* op, bool transposed, const View<const float>& fine,
                           const View<const float>& coarse, const View<const float>& weight,
                           const Dims& stride, const Dims& padding, const Dims& dilation,
                           std::int64_t groups);

}  // namespace voxelgrad

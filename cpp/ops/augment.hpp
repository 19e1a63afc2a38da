// Changing training images at random: resampling, noise, intensities. Layout (*spatial, C).
//
// Images the size of a slice run on the calling thread alone, so that loader threads leave the pool
// to the network; volumes are cut into pieces. The result does not depend on either.
#pragma once

#include <cstdint>

#include "core/view.hpp"

namespace voxelgrad {

// Reads image (*spatial, C) at matrix @ o + offset (+ displacement[o]) for every voxel o of output
// (*spatial', C); two or three spatial axes. matrix (R, R) and offset (R,) are in voxels and
// double, so that flips are exact; displacement is (*spatial', R). Linear between voxel centres;
// beyond the border lies fill (C,). Output must not overlap the image.
void resample_linear(View<const float> image, View<float> output, View<const double> matrix,
                     View<const double> offset, OptionalView<const float> displacement,
                     View<const float> fill);

// The same for class numbers (*spatial): the voxel whose centre is nearest (halves go up).
void resample_nearest(View<const std::int64_t> mask, View<std::int64_t> output,
                      View<const double> matrix, View<const double> offset,
                      OptionalView<const float> displacement, std::int64_t fill);

// output = image + std * normal(seed, element): counter-based, in pairs of elements by Box and
// Muller (1958). Output may be the image.
void add_gaussian_noise(View<const float> image, View<float> output, float std, std::uint64_t seed);

// Per channel c, where t = (x - low[c]) / (high[c] - low[c]) cut to [0, 1]:
// output = scale[c] * (low[c] + (high[c] - low[c]) * t^gamma[c]) + shift[c]. Where gamma[c] is 1, x
// is not cut. Output may be the image.
void adjust_intensity(View<const float> image, View<float> output, View<const float> low,
                      View<const float> high, View<const float> gamma, View<const float> scale,
                      View<const float> shift);

}  // namespace voxelgrad

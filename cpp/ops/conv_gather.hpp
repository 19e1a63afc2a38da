// A convolution pass as a gather: each target pixel sums source pixels at fixed offsets.
//
// Coarse from fine is one gather. Fine from coarse with stride s falls into s^rank phases, one for
// each remainder of the fine index; within a phase every pixel sees the same taps, so each phase is
// a gather of stride 1 that writes every s-th pixel.
#pragma once

#include <vector>

#include "ops/conv_geometry.hpp"

namespace voxelgrad {

struct GatherTap {
    std::int64_t number;             // of the weight, row-major over the kernel
    std::int64_t offset[conv_axes];  // source index = unit * j + offset
};

// Target index = start + step * j, for j in [0, count).
struct GatherPhase {
    std::int64_t start[conv_axes], step[conv_axes], count[conv_axes], unit[conv_axes];
    std::int64_t low[conv_axes], high[conv_axes];  // smallest and largest tap offset
    std::vector<GatherTap> taps;  // by rising offset; may be empty: kernel smaller than stride
};

// How many taps that follow each other read neighbouring columns of one row; every such run of the
// phase is as long as the first.
std::int64_t run_of_taps(const GatherPhase& phase);

GatherPhase gather_coarse_from_fine(const ConvGeometry& geometry);
std::vector<GatherPhase> gather_fine_from_coarse(const ConvGeometry& geometry);
// Coarse from each of these phases of the fine grid, whose pixel number k is start + step * k; what
// comes from all of them adds up to coarse from fine.
std::vector<GatherPhase> gather_coarse_from_phases(const ConvGeometry& geometry);

// What covers all phases: the largest count and the whole range of offsets; without taps.
GatherPhase merged(const std::vector<GatherPhase>& phases);

}  // namespace voxelgrad

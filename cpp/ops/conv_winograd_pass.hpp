// A Winograd pass, between grids on which neighbours follow each other with stride 1.
//
// Those of a convolution of stride 2 do, once the fine grid is cut into phases by the remainders of
// its indices: each phase is an image of its own with taps of its own, one or two on an axis, and
// the channels of all phases count as channels of one grid, side by side.
#pragma once

#include <vector>

#include "ops/conv_gather.hpp"
#include "ops/conv_pieces.hpp"

namespace voxelgrad {

// Which channels of a pass are tied by which taps.
struct WinogradSides : Sides {
    std::vector<GatherPhase> phases;  // of the fine grid
    GatherPhase whole;                // the target's pixels and the offsets of all phases

    WinogradSides(const Sides& sides, std::vector<GatherPhase> phases_of_fine);

    std::int64_t depth_taps() const { return whole.high[0] - whole.low[0] + 1; }
    std::int64_t source_channels() const {
        return source.channels * (target_is_coarse ? count() : 1);
    }
    std::int64_t target_channels() const {
        return target.channels * (target_is_coarse ? 1 : count());
    }
    std::int64_t fine_channels() const { return geometry.fine_channels * count(); }
    // The phase of a channel of the fine grid.
    const GatherPhase& phase_of(std::int64_t channel) const {
        return phases[channel / geometry.fine_channels];
    }
    // The same for two channels of the pass, of which one is the fine grid's.
    const GatherPhase& phase_between(std::int64_t target_channel,
                                     std::int64_t source_channel) const {
        return phase_of(target_is_coarse ? source_channel : target_channel);
    }
    // The number of the tap whose offset is `place` above the lowest of all, or -1.
    std::int64_t tap_at(const GatherPhase& phase, std::int64_t depth, std::int64_t row,
                        std::int64_t column) const;
    // Whether a phase has taps at this depth above the lowest.
    bool reaches(const GatherPhase& phase, std::int64_t depth) const;
    // At how many depths the phases have taps, summed over them.
    std::int64_t depth_ties() const;

 private:
    std::int64_t count() const { return static_cast<std::int64_t>(phases.size()); }
};

// One array of a side, or one phase of it.
template <class T>
struct WinogradGrid {
    T* data;                                          // the first pixel of the first image
    std::int64_t extent[conv_axes], step[conv_axes];  // pixels, and floats between neighbours
    std::int64_t image_step;
    std::int64_t begin, end;  // its channels among those of the side
    bool past_cache;          // whether its pixels are worth writing past the cache
};

// T: the type of the images.
template <class T>
struct WinogradPass : WinogradSides {
    const float* weight;
    ConvEpilogue epilogue;
    std::vector<WinogradGrid<const T>> sources;
    std::vector<WinogradGrid<T>> targets;

    explicit WinogradPass(const PiecewisePass<T>& pass);
};

// The target of a forward pass, to be read.
template <class T>
WinogradGrid<const T> coarse_grid(const ConvGeometry& geometry, const T* coarse);

}  // namespace voxelgrad

// One pass of a convolution on the bfloat16 tiles, seen as source -> target, and its packed weight.
#pragma once

#include <vector>

#include "core/bf16.hpp"
#include "ops/conv_pieces.hpp"
#include "ops/conv_tile_strip.hpp"

namespace voxelgrad {

struct TilePass {
    const ConvGeometry& geometry;
    bool target_is_coarse;
    ImagePieces<const bf16> sources;
    const float* weight;
    ConvEpilogue epilogue;
    ImagePieces<bf16> targets;

    const std::int64_t* source_extent() const {
        return target_is_coarse ? geometry.fine : geometry.coarse;
    }
    const std::int64_t* target_extent() const {
        return target_is_coarse ? geometry.coarse : geometry.fine;
    }
    std::int64_t source_channels() const {  // of a group
        return target_is_coarse ? geometry.fine_channels : geometry.coarse_channels;
    }
    std::int64_t target_channels() const {
        return target_is_coarse ? geometry.coarse_channels : geometry.fine_channels;
    }
    const float* weight_at(std::int64_t group, std::int64_t target_channel,
                           std::int64_t source_channel, std::int64_t tap) const {
        return weight + (target_is_coarse
                             ? geometry.weight_index(group, target_channel, source_channel, tap)
                             : geometry.weight_index(group, source_channel, target_channel, tap));
    }
    // Whether neighbouring source channels are neighbours in the weight; else target channels are.
    bool source_is_contiguous() const { return target_is_coarse != geometry.transposed; }
    std::int64_t panels() const;  // of 32 target channels
};

// The steps of one phase and where its packed weight lies: [group][panel][channel block][step].
struct TilePhase {
    GatherPhase phase;
    std::vector<TileStep> steps;
    std::vector<std::int64_t> step_offset;  // of all channel blocks, in the strip
    std::int64_t panel_size;                // elements of the packed weight of a panel
    std::int64_t first;                     // where the phase begins in it
};

// The phases of a pass, packed weights one after the other; `end` is the size of them all.
std::vector<TilePhase> tile_phases(const TilePass& pass, const TileStrip& strip,
                                   const GatherPhase& whole, const std::vector<GatherPhase>& phases,
                                   std::int64_t* end);

void pack_tile_weight(const TilePass& pass, const TileStrip& strip, const TilePhase& phase,
                      bf16* packed);

}  // namespace voxelgrad

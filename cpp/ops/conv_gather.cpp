#include "ops/conv_gather.hpp"

#include <algorithm>

namespace voxelgrad {
namespace {

void find_range(GatherPhase& phase) {
    for (int a = 0; a < conv_axes; ++a) {
        phase.low[a] = phase.high[a] = phase.taps.empty() ? 0 : phase.taps[0].offset[a];
        for (const GatherTap& tap : phase.taps) {
            phase.low[a] = std::min(phase.low[a], tap.offset[a]);
            phase.high[a] = std::max(phase.high[a], tap.offset[a]);
        }
    }
}

// Calls function(number, position of the tap in the kernel) for every tap.
template <class Function>
void for_each_tap(const ConvGeometry& g, Function function) {
    std::int64_t number = 0;
    std::int64_t at[conv_axes];
    for (at[0] = 0; at[0] < g.kernel[0]; ++at[0])
        for (at[1] = 0; at[1] < g.kernel[1]; ++at[1])
            for (at[2] = 0; at[2] < g.kernel[2]; ++at[2]) function(number++, at);
}

GatherPhase fine_phase(const ConvGeometry& g, const std::int64_t* remainder) {
    GatherPhase phase{};
    for (int a = 0; a < conv_axes; ++a) {
        phase.start[a] = remainder[a];
        phase.step[a] = g.stride[a];
        phase.unit[a] = 1;
        const std::int64_t left = g.fine[a] - remainder[a];
        phase.count[a] = left <= 0 ? 0 : (left + g.stride[a] - 1) / g.stride[a];
    }
    // fine = stride * coarse + dilation * tap - padding, solved for coarse.
    for_each_tap(g, [&](std::int64_t number, const std::int64_t* at) {
        GatherTap tap{number, {}};
        for (int a = 0; a < conv_axes; ++a) {
            const std::int64_t scaled = remainder[a] + g.padding[a] - g.dilation[a] * at[a];
            if (scaled % g.stride[a] != 0) return;
            tap.offset[a] = scaled / g.stride[a];
        }
        phase.taps.push_back(tap);
    });
    std::reverse(phase.taps.begin(), phase.taps.end());
    find_range(phase);
    return phase;
}

}  // namespace

std::int64_t run_of_taps(const GatherPhase& phase) {
    const std::vector<GatherTap>& taps = phase.taps;
    const auto same_row = [&](const GatherTap& tap) {
        return tap.offset[0] == taps[0].offset[0] && tap.offset[1] == taps[0].offset[1];
    };
    std::size_t run = 1;
    for (; run < taps.size() && same_row(taps[run]); ++run)
        if (taps[run].offset[2] != taps[run - 1].offset[2] + 1) return 1;
    return static_cast<std::int64_t>(run);
}

GatherPhase gather_coarse_from_fine(const ConvGeometry& g) {
    GatherPhase phase{};
    for (int a = 0; a < conv_axes; ++a) {
        phase.step[a] = 1;
        phase.count[a] = g.coarse[a];
        phase.unit[a] = g.stride[a];
    }
    for_each_tap(g, [&](std::int64_t number, const std::int64_t* at) {
        GatherTap tap{number, {}};
        for (int a = 0; a < conv_axes; ++a) tap.offset[a] = g.dilation[a] * at[a] - g.padding[a];
        phase.taps.push_back(tap);
    });
    find_range(phase);
    return phase;
}

std::vector<GatherPhase> gather_fine_from_coarse(const ConvGeometry& g) {
    std::vector<GatherPhase> phases;
    // Remainders beyond the grid have no pixels.
    std::int64_t last[conv_axes], r[conv_axes];
    for (int a = 0; a < conv_axes; ++a) last[a] = std::min(g.stride[a], g.fine[a]);
    for (r[0] = 0; r[0] < last[0]; ++r[0])
        for (r[1] = 0; r[1] < last[1]; ++r[1])
            for (r[2] = 0; r[2] < last[2]; ++r[2]) phases.push_back(fine_phase(g, r));
    return phases;
}

std::vector<GatherPhase> gather_coarse_from_phases(const ConvGeometry& g) {
    std::vector<GatherPhase> phases = gather_fine_from_coarse(g);
    for (GatherPhase& phase : phases) {
        std::copy_n(g.coarse, conv_axes, phase.count);
        std::reverse(phase.taps.begin(), phase.taps.end());
        for (GatherTap& tap : phase.taps)
            for (std::int64_t& offset : tap.offset) offset = -offset;
        find_range(phase);
    }
    return phases;
}

GatherPhase merged(const std::vector<GatherPhase>& phases) {
    GatherPhase whole{};
    bool seen = false;
    for (const GatherPhase& phase : phases)
        for (int a = 0; a < conv_axes; ++a) {
            whole.unit[a] = phase.unit[a];
            whole.count[a] = std::max(whole.count[a], phase.count[a]);
        }
    for (const GatherPhase& phase : phases) {
        if (phase.taps.empty()) continue;
        for (int a = 0; a < conv_axes; ++a) {
            whole.low[a] = seen ? std::min(whole.low[a], phase.low[a]) : phase.low[a];
            whole.high[a] = seen ? std::max(whole.high[a], phase.high[a]) : phase.high[a];
        }
        seen = true;
    }
    return whole;
}

}  // namespace voxelgrad

// Where the elements of a padded or cut axis come from.
#pragma once

#include <algorithm>
#include <string>

#include "core/check.hpp"

namespace voxelgrad {

enum class PadMode { constant, reflect, edge };

inline PadMode pad_mode(const char* op, const std::string& name) {
    if (name == "constant") return PadMode::constant;
    if (name == "reflect") return PadMode::reflect;
    if (name == "edge") return PadMode::edge;
    fail(op, ": mode '", name, "' is unknown; choose 'constant', 'reflect' or 'edge'");
}

// `before` is negative where the axis is cut.
struct PadAxis {
    std::int64_t inner, outer, before;

    bool is_whole() const { return inner == outer && before == 0; }

    // The inner position that outer position i shows; -1: the constant.
    std::int64_t source(std::int64_t i, PadMode mode) const {
        const std::int64_t position = i - before;
        if (position >= 0 && position < inner) return position;
        if (mode == PadMode::constant) return -1;
        if (mode == PadMode::edge || inner == 1)
            return std::clamp<std::int64_t>(position, 0, inner - 1);
        const std::int64_t period = 2 * (inner - 1);
        const std::int64_t folded = ((position % period) + period) % period;
        return std::min(folded, period - folded);
    }
};

}  // namespace voxelgrad

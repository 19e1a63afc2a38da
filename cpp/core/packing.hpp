// Where arrays lie in one block, when it is known beforehand how long each of them lives.
#pragma once

#include <cstddef>
#include <vector>

namespace voxelgrad {

// An array that lives from `begin` until before `end`.
struct Lifetime {
    std::size_t bytes, begin, end;
    std::size_t offset = 0;  // in the block

    bool meets(const Lifetime& other) const { return begin < other.end && other.begin < end; }
};

// Sets the offsets, so that arrays that live at the same time do not overlap; returns the bytes of
// the block. The largest go first, each to the lowest place that is free for all of its life
// (greedy by size: Y. Pisarchyk, J. Lee, Efficient memory management for deep neural net inference,
// 2020): what is alive at the peak is all the block needs, nearly always.
std::size_t pack(std::vector<Lifetime>& arrays);

}  // namespace voxelgrad

// A range of addresses that large blocks are cut from.
//
// Free neighbours become one block again, whatever their sizes were, so that a program whose arrays
// come in many sizes needs little more memory than it uses at its peak. Addresses are reserved when
// the first block is taken; pages are touched from the bottom up. Not thread safe.
#pragma once

#include <cstddef>
#include <map>
#include <set>
#include <unordered_map>
#include <utility>

namespace voxelgrad {

class Arena {
 public:
    static constexpr std::size_t unit = std::size_t{64} << 10;  // all sizes are multiples of it
    static constexpr std::size_t large_from = std::size_t{1} << 20;  // bytes; less lies elsewhere

    // From the smallest free block that is large enough, the lowest of several; null if there is no
    // room. Aligned to `unit`. Its pages are huge ones where the system has them.
    void* take(std::size_t bytes);
    bool owns(const void* block) const { return taken_.count(block) > 0; }
    // Returns how many bytes the block had: what was asked for, rounded up.
    std::size_t give_back(void* block);
    // Whether `take` would find a free block that has pages.
    bool has_room(std::size_t bytes) const;
    // Makes an arena of other memory, [begin, end) of it, instead of addresses that it reserves.
    // Rounded inwards to `unit`.
    void add_range(char* begin, char* end);
    // Returns the pages of free blocks to the system.
    void trim();
    // Bytes of a block that was asked for as `bytes`. Neighbours never lie a multiple of `clash`
    // apart: a pass over both would go back and forth in the same banks of the memory.
    static constexpr std::size_t clash = std::size_t{128} << 20;
    static std::size_t rounded(std::size_t bytes) {
        const std::size_t units = (bytes + unit - 1) / unit * unit;
        return units % clash == 0 ? units + unit : units;
    }
    // Bytes in free blocks that have pages.
    std::size_t cached() const { return cached_; }

 private:
    struct Free {
        std::size_t bytes;
        bool has_pages;
    };
    using Place = std::map<char*, Free>::iterator;

    void reserve();
    void add(char* block, Free free);
    Free remove(Place place);
    char* find(std::size_t bytes);
    char* grow(std::size_t bytes);

    // Sizes lie here and not before the blocks: two halves shall fit where a whole one was.
    std::unordered_map<const void*, std::size_t> taken_;
    std::map<char*, Free> free_;
    std::set<std::pair<std::size_t, char*>> by_size_;
    std::size_t cached_ = 0;
    char *top_ = nullptr, *end_ = nullptr;  // [top_, end_) was never used
    bool reserved_ = false;
};

}  // namespace voxelgrad

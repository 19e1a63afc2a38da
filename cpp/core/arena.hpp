// A range of addresses that large blocks are cut from.
//
// Free neighbours become one block again, whatever their sizes were, so that a program whose arrays
// come in many sizes needs little more memory than it uses at its peak. Addresses are reserved when
// the first block is taken; pages are touched from the bottom up. Not thread safe.
#pragma once

#include <cstddef>
#include <map>
#include <set>
#include <utility>

namespace voxelgrad {

class Arena {
 public:
    static constexpr std::size_t unit = std::size_t{64} << 10;  // all sizes are multiples of it

    // The smallest free block that is large enough, the lowest of several; null if there is no
    // room. Its pages are huge ones where the system has them.
    char* take(std::size_t bytes);
    void give_back(char* block, std::size_t bytes);
    // Returns the pages of free blocks to the system.
    void trim();
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
    char* grow(std::size_t bytes);

    std::map<char*, Free> free_;
    std::set<std::pair<std::size_t, char*>> by_size_;
    std::size_t cached_ = 0;
    char *top_ = nullptr, *end_ = nullptr;  // [top_, end_) was never used
    bool reserved_ = false;
};

}  // namespace voxelgrad

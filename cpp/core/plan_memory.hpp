// The memory of a plan: blocks that it keeps for as long as it lives and hands out again and again.
//
// While a step is recorded, arrays come and go as they do in an eager step; a block that comes back
// is given to a later array. Running the recorded calls again touches the same addresses in the
// same order, so what the arena holds then is what the step needs. Not thread safe.
#pragma once

#include <cstddef>
#include <map>
#include <vector>

namespace voxelgrad {

class PlanMemory {
 public:
    PlanMemory() = default;
    ~PlanMemory();
    PlanMemory(const PlanMemory&) = delete;
    PlanMemory& operator=(const PlanMemory&) = delete;

    void* allocate(std::size_t bytes);  // aligned and uninitialised, from the pool
    void release(void* block) noexcept;

    // Whether the bytes at `data` lie in a block that somebody holds, and in one that was marked.
    bool holds(const void* data, std::size_t bytes) const;
    bool is_written(const void* data, std::size_t bytes) const;
    void mark_written(const void* data);

    std::size_t bytes() const { return bytes_; }  // of all blocks

 private:
    struct Block {
        std::size_t capacity;
        bool written;
    };
    using Blocks = std::map<const char*, Block>;

    Blocks::const_iterator block_of(const void* data) const;

    Blocks held_;
    std::multimap<std::size_t, char*> free_;  // by capacity
    std::size_t bytes_ = 0;
};

}  // namespace voxelgrad

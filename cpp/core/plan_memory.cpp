#include "core/plan_memory.hpp"

#include <algorithm>

#include "core/pool.hpp"

namespace voxelgrad {

PlanMemory::~PlanMemory() {
    for (const auto& [block, state] : held_) pool_release(const_cast<char*>(block));
    for (const auto& [capacity, block] : free_) pool_release(block);
}

// The smallest block that came back and is not more than a quarter too large, as in the pool.
void* PlanMemory::allocate(std::size_t bytes) {
    const std::size_t wanted = std::max<std::size_t>(bytes, 1);
    const auto found = free_.lower_bound(wanted);
    if (found != free_.end() && found->first <= wanted + wanted / 4) {
        char* const block = found->second;
        held_.emplace(block, Block{found->first, false});
        free_.erase(found);
        return block;
    }
    char* const block = static_cast<char*>(pool_allocate(wanted));
    held_.emplace(block, Block{wanted, false});
    bytes_ += wanted;
    return block;
}

void PlanMemory::release(void* data) noexcept {
    const auto found = held_.find(static_cast<const char*>(data));
    if (found == held_.end()) return;
    free_.emplace(found->second.capacity, static_cast<char*>(data));
    held_.erase(found);
}

PlanMemory::Blocks::const_iterator PlanMemory::block_of(const void* data) const {
    const auto next = held_.upper_bound(static_cast<const char*>(data));
    return next == held_.begin() ? held_.end() : std::prev(next);
}

bool PlanMemory::holds(const void* data, std::size_t bytes) const {
    const auto found = block_of(data);
    return found != held_.end() &&
           static_cast<const char*>(data) + bytes <= found->first + found->second.capacity;
}

bool PlanMemory::is_written(const void* data, std::size_t bytes) const {
    return holds(data, bytes) && block_of(data)->second.written;
}

void PlanMemory::mark_written(const void* data) {
    const auto found = block_of(data);
    if (found != held_.end()) held_[found->first].written = true;
}

}  // namespace voxelgrad

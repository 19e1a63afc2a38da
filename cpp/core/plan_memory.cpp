#include "core/plan_memory.hpp"

#include <algorithm>

#include "core/packing.hpp"
#include "core/pool.hpp"

namespace voxelgrad {
namespace {

constexpr std::size_t line = 64;

// Large arrays begin where the pool's large blocks do, others at a cache line.
std::size_t rounded(std::size_t bytes) {
    return bytes >= Arena::large_from ? Arena::rounded(bytes) : (bytes + line - 1) / line * line;
}

}  // namespace

PlanMemory::~PlanMemory() {
    for (const auto& [data, array] : held_) pool_release(const_cast<char*>(data));
    pool_release(block_);
}

void* PlanMemory::allocate(std::size_t bytes) {
    auto* const data = static_cast<char*>(pool_allocate(bytes));
    held_.emplace(data, arrays_.size());
    arrays_.push_back({data, std::max<std::size_t>(bytes, 1), calls_, calls_});
    return data;
}

void PlanMemory::release(void* block) noexcept {
    const auto found = held_.find(static_cast<const char*>(block));
    if (found != held_.end() && is_laid_out_) return;  // calls still use it
    if (found != held_.end()) {
        arrays_[found->second].end = calls_;
        held_.erase(found);
    }
    pool_release(block);
}

PlanMemory::Place PlanMemory::find(const void* data, std::size_t bytes) const {
    const char* const begin = static_cast<const char*>(data);
    const auto next = held_.upper_bound(begin);
    if (next == held_.begin()) return {};
    const auto& [first, array] = *std::prev(next);
    const auto offset = static_cast<std::size_t>(begin - first);
    return offset + bytes <= arrays_[array].bytes ? Place{array, offset} : Place{};
}

void PlanMemory::lay_out() {
    const std::vector<std::size_t> members = arrays_of_the_block();
    std::vector<Lifetime> lives;
    for (const std::size_t member : members) {
        const Array& array = arrays_[member];
        lives.push_back({rounded(array.bytes), array.begin, array.end});
    }
    block_bytes_ = pack(lives);
    block_ = static_cast<char*>(pool_allocate_lasting(block_bytes_));
    for (std::size_t i = 0; i < members.size(); ++i)
        arrays_[members[i]].data = block_ + lives[i].offset;
    find_free(members);
    is_laid_out_ = true;
}

std::vector<std::size_t> PlanMemory::arrays_of_the_block() {
    for (auto held = held_.begin(); held != held_.end();) {
        Array& array = arrays_[held->second];
        array.end = calls_ + 1;
        held = array.is_result ? held_.erase(held) : std::next(held);
    }
    std::vector<bool> stays(arrays_.size());
    for (const auto& [data, array] : held_) stays[array] = true;
    std::vector<std::size_t> members;
    for (std::size_t i = 0; i < arrays_.size(); ++i) {
        if (arrays_[i].is_result) arrays_[i].end = calls_ + 1;
        const bool is_used = arrays_[i].is_written && arrays_[i].begin < arrays_[i].end;
        if (!stays[i] && is_used) members.push_back(i);
    }
    return members;
}

void PlanMemory::find_free(const std::vector<std::size_t>& members) {
    std::vector<const Array*> by_address;
    for (const std::size_t member : members) by_address.push_back(&arrays_[member]);
    std::sort(by_address.begin(), by_address.end(),
              [](const Array* a, const Array* b) { return a->data < b->data; });
    free_.resize(calls_);
    for (std::size_t call = 0; call < calls_; ++call) {
        char* begin = block_;
        free_[call].add_range(begin, begin);  // an arena of nothing, not of addresses of its own
        const auto add_until = [&](char* end) {
            if (begin + Arena::large_from <= end) free_[call].add_range(begin, end);
        };
        for (const Array* array : by_address) {
            if (call < array->begin || call >= array->end) continue;
            add_until(array->data);
            begin = array->data + rounded(array->bytes);
        }
        add_until(block_ + block_bytes_);
    }
}

std::size_t PlanMemory::bytes() const {
    std::size_t total = block_bytes_;
    for (const auto& [data, array] : held_) total += arrays_[array].bytes;
    return total;
}

}  // namespace voxelgrad

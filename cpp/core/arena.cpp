#include "core/arena.hpp"

#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdint>
#include <iterator>

namespace voxelgrad {
namespace {

constexpr std::size_t huge_page = std::size_t{2} << 20;

// As many addresses as there is memory; none where addresses are limited, as by ulimit -v.
std::size_t bytes_to_reserve() {
    rlimit limit{};
    if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur != RLIM_INFINITY) return 0;
    const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    if (pages <= 0 || page <= 0) return 0;
    return static_cast<std::size_t>(pages) * static_cast<std::size_t>(page) / huge_page * huge_page;
}

}  // namespace

void Arena::reserve() {
    reserved_ = true;
    const std::size_t bytes = bytes_to_reserve();
    if (bytes == 0) return;
    void* const origin = mmap(nullptr, bytes + huge_page, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (origin == MAP_FAILED) return;
    const auto address = reinterpret_cast<std::uintptr_t>(origin);
    top_ = reinterpret_cast<char*>((address + huge_page - 1) / huge_page * huge_page);
    end_ = top_ + bytes;
    madvise(top_, bytes, MADV_HUGEPAGE);
}

void Arena::add(char* block, Free free) {
    free_.emplace(block, free);
    by_size_.emplace(free.bytes, block);
    if (free.has_pages) cached_ += free.bytes;
}

Arena::Free Arena::remove(Place place) {
    const Free free = place->second;
    by_size_.erase({free.bytes, place->first});
    free_.erase(place);
    if (free.has_pages) cached_ -= free.bytes;
    return free;
}

// A block that ends at a new top; it begins with the free block below, if there is one.
char* Arena::grow(std::size_t bytes) {
    char* begin = top_;
    if (!free_.empty()) {
        const Place last = std::prev(free_.end());
        if (last->first + last->second.bytes == top_) begin = last->first;
    }
    if (bytes > static_cast<std::size_t>(end_ - begin)) return nullptr;
    if (begin != top_) remove(std::prev(free_.end()));
    top_ = begin + bytes;
    return begin;
}

char* Arena::find(std::size_t bytes) {
    const auto found = by_size_.lower_bound({bytes, nullptr});
    if (found == by_size_.end()) return grow(bytes);
    char* const block = found->second;
    const Free free = remove(free_.find(block));
    if (free.bytes > bytes) add(block + bytes, {free.bytes - bytes, free.has_pages});
    return block;
}

void* Arena::take(std::size_t bytes) {
    if (!reserved_) reserve();
    char* const block = find(rounded(bytes));
    if (block != nullptr) taken_[block] = rounded(bytes);
    return block;
}

bool Arena::has_room(std::size_t bytes) const {
    const auto found = by_size_.lower_bound({rounded(bytes), nullptr});
    return found != by_size_.end() && free_.at(found->second).has_pages;
}

void Arena::add_range(char* begin, char* end) {
    reserved_ = true;
    const auto first = (reinterpret_cast<std::uintptr_t>(begin) + unit - 1) / unit * unit;
    const auto last = reinterpret_cast<std::uintptr_t>(end) / unit * unit;
    if (first < last) add(reinterpret_cast<char*>(first), {last - first, true});
}

std::size_t Arena::give_back(void* returned) {
    const auto taken = taken_.find(returned);
    const std::size_t bytes = taken->second;
    taken_.erase(taken);
    char* block = static_cast<char*>(returned);
    Free merged{bytes, true};
    const Place above = free_.find(block + bytes);
    if (above != free_.end()) merged.bytes += remove(above).bytes;
    const Place next = free_.lower_bound(block);
    if (next != free_.begin()) {
        const Place below = std::prev(next);
        if (below->first + below->second.bytes == block) {
            block = below->first;
            merged.bytes += remove(below).bytes;
        }
    }
    add(block, merged);
    return bytes;
}

void Arena::trim() {
    for (auto& [block, free] : free_) {
        if (free.has_pages) madvise(block, free.bytes, MADV_DONTNEED);
        free.has_pages = false;
    }
    cached_ = 0;
}

}  // namespace voxelgrad

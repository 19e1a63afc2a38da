#include "core/pool.hpp"

#include <pthread.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdlib>
#include <map>
#include <mutex>
#include <new>
#include <vector>

namespace voxelgrad {
namespace {

constexpr std::size_t alignment = 64;
constexpr std::size_t page = 4096;
constexpr std::size_t huge_page = std::size_t{2} << 20;
constexpr std::size_t mapped_from = std::size_t{1} << 20;  // larger blocks are mapped, not malloced

// Sits in the cache line before the block.
struct Header {
    std::size_t capacity;  // bytes that the block can hold
    std::size_t mapped;    // bytes mapped for it; 0 when it was malloced
    void* origin;
};
static_assert(sizeof(Header) <= alignment);

Header* header_of(void* block) {
    return reinterpret_cast<Header*>(static_cast<char*>(block) - alignment);
}

// Eight sizes for every doubling: at most an eighth of a block lies idle.
std::size_t rounded(std::size_t bytes) {
    const std::size_t wanted = std::max(bytes, alignment);
    const std::size_t step = std::max(std::bit_floor(wanted) / 8, alignment);
    return (wanted + step - 1) / step * step;
}

void* place_header(void* origin, char* block, std::size_t capacity, std::size_t mapped) {
    new (block - alignment) Header{capacity, mapped, origin};
    return block;
}

// The block starts one cache line into a huge page, so that the kernel can back it by huge pages.
void* map_block(std::size_t capacity) {
    const std::size_t bytes = (capacity + alignment + huge_page + page - 1) / page * page;
    void* origin = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (origin == MAP_FAILED) return nullptr;
    const auto address = reinterpret_cast<std::uintptr_t>(origin);
    const std::uintptr_t start = (address + huge_page - 1) / huge_page * huge_page;
    madvise(reinterpret_cast<void*>(start), address + bytes - start, MADV_HUGEPAGE);
    return place_header(origin, reinterpret_cast<char*>(start) + alignment, capacity, bytes);
}

void* new_block(std::size_t capacity) {
    if (capacity >= mapped_from) return map_block(capacity);
    void* origin = std::aligned_alloc(alignment, capacity + alignment);
    if (origin == nullptr) return nullptr;
    return place_header(origin, static_cast<char*>(origin) + alignment, capacity, 0);
}

void return_to_system(void* block) {
    const Header header = *header_of(block);
    if (header.mapped)
        munmap(header.origin, header.mapped);
    else
        std::free(header.origin);
}

struct Cache {
    std::mutex lock;
    std::map<std::size_t, std::vector<void*>> free_blocks;  // by capacity
    std::int64_t cached = 0;
    std::atomic<std::int64_t> in_use{0}, peak_in_use{0};
};

// Never destroyed: arrays may be released while the interpreter shuts down.
Cache& cache() {
    static Cache* const instance = [] {
        auto* fresh = new Cache;
        pthread_atfork([] { cache().lock.lock(); }, [] { cache().lock.unlock(); },
                       [] { cache().lock.unlock(); });
        return fresh;
    }();
    return *instance;
}

void count_taken(std::size_t capacity) {
    const auto bytes = static_cast<std::int64_t>(capacity);
    const std::int64_t now = cache().in_use.fetch_add(bytes) + bytes;
    std::int64_t peak = cache().peak_in_use.load();
    while (now > peak && !cache().peak_in_use.compare_exchange_weak(peak, now)) {
    }
}

void count_returned(std::size_t capacity) {
    cache().in_use.fetch_sub(static_cast<std::int64_t>(capacity));
}

bool fits(std::size_t available, std::size_t wanted) {
    return available >= wanted && available <= wanted + wanted / 4;
}

// The smallest cached block that is not more than a quarter too large.
void* take_cached(Cache& cache, std::size_t capacity) {
    const auto found = cache.free_blocks.lower_bound(capacity);
    if (found == cache.free_blocks.end() || !fits(found->first, capacity)) return nullptr;
    void* block = found->second.back();
    found->second.pop_back();
    cache.cached -= static_cast<std::int64_t>(found->first);
    count_taken(found->first);
    if (found->second.empty()) cache.free_blocks.erase(found);
    return block;
}

void keep_for_all(void* block) {
    Cache& shared = cache();
    const std::size_t capacity = header_of(block)->capacity;
    std::lock_guard lock(shared.lock);
    shared.cached += static_cast<std::int64_t>(capacity);
    shared.free_blocks[capacity].push_back(block);
}

// The blocks that a thread keeps for its next workspaces.
class Scratch {
 public:
    ~Scratch() { give_up(); }

    void* take(std::size_t capacity) {
        for (int i = count_ - 1; i >= 0; --i) {
            if (!fits(header_of(blocks_[i])->capacity, capacity)) continue;
            void* const block = blocks_[i];
            blocks_[i] = blocks_[--count_];
            count_taken(header_of(block)->capacity);
            return block;
        }
        return nullptr;
    }

    bool keep(void* block) {
        if (header_of(block)->capacity > largest) return false;
        if (count_ == most) keep_for_all(blocks_[0]);
        if (count_ == most) blocks_[0] = blocks_[--count_];
        blocks_[count_++] = block;
        return true;
    }

    void give_up() {
        while (count_ > 0) keep_for_all(blocks_[--count_]);
    }

 private:
    static constexpr int most = 8;
    static constexpr std::size_t largest = std::size_t{1} << 20;

    void* blocks_[most];
    int count_ = 0;
};

thread_local Scratch my_scratch;

}  // namespace

void* pool_allocate(std::size_t bytes) {
    const std::size_t capacity = rounded(bytes);
    Cache& shared = cache();
    {
        std::lock_guard lock(shared.lock);
        if (void* block = take_cached(shared, capacity)) return block;
    }
    void* block = new_block(capacity);
    if (block == nullptr) {
        pool_trim();
        block = new_block(capacity);
    }
    if (block == nullptr) throw std::bad_alloc();
    count_taken(capacity);
    return block;
}

void pool_release(void* block) noexcept {
    if (block == nullptr) return;
    count_returned(header_of(block)->capacity);
    keep_for_all(block);
}

void* scratch_allocate(std::size_t bytes) {
    void* block = my_scratch.take(rounded(bytes));
    return block == nullptr ? pool_allocate(bytes) : block;
}

void scratch_release(void* block) noexcept {
    if (block == nullptr) return;
    count_returned(header_of(block)->capacity);
    if (!my_scratch.keep(block)) keep_for_all(block);
}

void pool_trim() {
    my_scratch.give_up();
    Cache& shared = cache();
    std::map<std::size_t, std::vector<void*>> blocks;
    {
        std::lock_guard lock(shared.lock);
        blocks.swap(shared.free_blocks);
        shared.cached = 0;
    }
    for (const auto& [capacity, list] : blocks)
        for (void* block : list) return_to_system(block);
}

PoolStatistics pool_statistics() {
    Cache& shared = cache();
    std::lock_guard lock(shared.lock);
    return {shared.in_use.load(), shared.cached, shared.peak_in_use.load()};
}

void pool_reset_peak() { cache().peak_in_use.store(cache().in_use.load()); }

}  // namespace voxelgrad

#include "core/pool.hpp"

#include <pthread.h>
#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <map>
#include <mutex>
#include <new>
#include <vector>

#include "core/arena.hpp"

namespace voxelgrad {
namespace {

constexpr std::size_t alignment = 64;
constexpr std::size_t page = 4096;
constexpr std::size_t huge_page = std::size_t{2} << 20;

// Sits in the cache line before a block that is not the arena's.
struct Header {
    std::size_t capacity;  // bytes that the block can hold
    std::size_t mapped;    // bytes mapped for it alone; 0 when it was malloced
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
    if (capacity >= Arena::large_from) return map_block(capacity);
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
    Arena arena;
    std::map<std::size_t, std::vector<void*>> free_blocks;  // outside the arena, by capacity
    PoolStatistics statistics{};
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

void count_in_use(PoolStatistics& statistics, std::size_t capacity) {
    statistics.in_use += static_cast<std::int64_t>(capacity);
    statistics.peak_in_use = std::max(statistics.peak_in_use, statistics.in_use);
}

// The smallest cached block that is not more than a quarter too large.
void* take_cached(Cache& cache, std::size_t capacity) {
    const auto found = cache.free_blocks.lower_bound(capacity);
    if (found == cache.free_blocks.end() || found->first > capacity + capacity / 4) return nullptr;
    void* block = found->second.back();
    found->second.pop_back();
    cache.statistics.cached -= static_cast<std::int64_t>(found->first);
    count_in_use(cache.statistics, found->first);
    if (found->second.empty()) cache.free_blocks.erase(found);
    return block;
}

// Small blocks that a thread keeps for its next workspaces.
class Scratch {
 public:
    ~Scratch() { give_up(); }

    void* take(std::size_t capacity) {
        for (int i = count_ - 1; i >= 0; --i) {
            const std::size_t available = header_of(blocks_[i])->capacity;
            if (available < capacity || available > capacity + capacity / 4) continue;
            void* const block = blocks_[i];
            blocks_[i] = blocks_[--count_];
            return block;
        }
        return nullptr;
    }

    void keep(void* block) {
        if (count_ == most) {
            pool_release(blocks_[0]);
            blocks_[0] = blocks_[--count_];
        }
        blocks_[count_++] = block;
    }

    void give_up() {
        while (count_ > 0) pool_release(blocks_[--count_]);
    }

 private:
    static constexpr int most = 8;
    void* blocks_[most];
    int count_ = 0;
};

thread_local Scratch my_scratch;
thread_local Arena* my_scratch_arena = nullptr;

}  // namespace

ScratchArena::ScratchArena(Arena& arena) : before_(my_scratch_arena) { my_scratch_arena = &arena; }
ScratchArena::~ScratchArena() { my_scratch_arena = before_; }

void* scratch_allocate(std::size_t bytes) {
    void* block = nullptr;
    if (bytes < Arena::large_from)
        block = my_scratch.take(rounded(bytes));
    else if (my_scratch_arena != nullptr)
        block = my_scratch_arena->take(bytes);
    return block == nullptr ? pool_allocate(bytes) : block;
}

void scratch_release(void* block, std::size_t bytes) noexcept {
    if (bytes < Arena::large_from)
        my_scratch.keep(block);
    else if (my_scratch_arena != nullptr && my_scratch_arena->owns(block))
        my_scratch_arena->give_back(block);
    else
        pool_release(block);
}

void* pool_allocate(std::size_t bytes) {
    const std::size_t capacity = rounded(bytes);
    Cache& shared = cache();
    {
        std::lock_guard lock(shared.lock);
        void* const large = bytes >= Arena::large_from ? shared.arena.take(bytes) : nullptr;
        if (large != nullptr) {
            count_in_use(shared.statistics, Arena::rounded(bytes));
            return large;
        }
        if (void* block = take_cached(shared, capacity)) return block;
    }
    void* block = new_block(capacity);
    if (block == nullptr) {
        pool_trim();
        block = new_block(capacity);
    }
    if (block == nullptr) throw std::bad_alloc();
    std::lock_guard lock(shared.lock);
    count_in_use(shared.statistics, capacity);
    return block;
}

void* pool_allocate_lasting(std::size_t bytes) {
    Cache& shared = cache();
    bool has_room = false;
    {
        std::lock_guard lock(shared.lock);
        has_room = shared.arena.has_room(bytes);
    }
    if (!has_room && bytes >= Arena::large_from) pool_trim();
    return pool_allocate(bytes);
}

void pool_release(void* block) noexcept {
    if (block == nullptr) return;
    Cache& shared = cache();
    std::lock_guard lock(shared.lock);
    const bool is_large = shared.arena.owns(block);
    const std::size_t capacity =
        is_large ? shared.arena.give_back(block) : header_of(block)->capacity;
    shared.statistics.in_use -= static_cast<std::int64_t>(capacity);
    if (is_large) return;
    shared.statistics.cached += static_cast<std::int64_t>(capacity);
    shared.free_blocks[capacity].push_back(block);
}

void pool_trim() {
    my_scratch.give_up();
    Cache& shared = cache();
    std::map<std::size_t, std::vector<void*>> blocks;
    {
        std::lock_guard lock(shared.lock);
        blocks.swap(shared.free_blocks);
        shared.statistics.cached = 0;
        shared.arena.trim();
    }
    for (const auto& [capacity, list] : blocks)
        for (void* block : list) return_to_system(block);
}

PoolStatistics pool_statistics() {
    Cache& shared = cache();
    std::lock_guard lock(shared.lock);
    PoolStatistics statistics = shared.statistics;
    statistics.cached += static_cast<std::int64_t>(shared.arena.cached());
    return statistics;
}

void pool_reset_peak() {
    Cache& shared = cache();
    std::lock_guard lock(shared.lock);
    shared.statistics.peak_in_use = shared.statistics.in_use;
}

}  // namespace voxelgrad

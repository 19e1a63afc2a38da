// A caching pool for arrays and workspaces.
//
// Fresh pages cost many times what cached memory costs, so blocks are kept and handed out again.
// Large blocks are cut from one range of addresses, on huge pages where the system has them. Memory
// is not cleared. Every block is aligned to 64 bytes. Thread safe; usable in a child of fork.
#pragma once

#include <cstddef>
#include <cstdint>

namespace voxelgrad {

class Arena;

struct PoolStatistics {
    std::int64_t in_use;       // bytes in blocks that somebody holds, workspaces' spare ones too
    std::int64_t cached;       // bytes in blocks that wait to be handed out again
    std::int64_t peak_in_use;  // the largest in_use so far
};

// Throws std::bad_alloc when the system has no more, after giving back what is cached.
void* pool_allocate(std::size_t bytes);
void pool_release(void* block) noexcept;
// A block that will stay: where it takes new pages, what is cached is given back to the system
// before, so that both are never there at once.
void* pool_allocate_lasting(std::size_t bytes);
void pool_trim();  // gives all cached blocks back to the system
PoolStatistics pool_statistics();
void pool_reset_peak();

// The same for memory that the thread which took it gives back soon: each thread keeps a few blocks
// for itself, so that threads do not wait for each other.
void* scratch_allocate(std::size_t bytes);
void scratch_release(void* block, std::size_t bytes) noexcept;

// While one lives, large scratch blocks of this thread are cut from `arena` where they fit.
class ScratchArena {
 public:
    explicit ScratchArena(Arena& arena);
    ~ScratchArena();
    ScratchArena(const ScratchArena&) = delete;
    ScratchArena& operator=(const ScratchArena&) = delete;

 private:
    Arena* before_;
};

// Scratch memory of one kernel call.
template <class T>
class Workspace {
 public:
    explicit Workspace(std::int64_t count)
        : bytes_(static_cast<std::size_t>(count) * sizeof(T)),
          data_(static_cast<T*>(scratch_allocate(bytes_))) {}
    ~Workspace() { scratch_release(data_, bytes_); }
    Workspace(const Workspace&) = delete;
    Workspace& operator=(const Workspace&) = delete;

    T* data() const { return data_; }
    T& operator[](std::int64_t index) const { return data_[index]; }

 private:
    std::size_t bytes_;
    T* data_;
};

}  // namespace voxelgrad

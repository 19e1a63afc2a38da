// The memory of a plan: while a step is recorded its arrays come from the pool and return to it, as
// in an eager step; then all of them get places in one block.
//
// How long an array lives is counted in calls: from the one before which it was taken to the one
// after which it was given back. Not thread safe.
#pragma once

#include <cstddef>
#include <map>
#include <vector>

#include "core/arena.hpp"

namespace voxelgrad {

class PlanMemory {
 public:
    // A place in an array of the plan.
    struct Place {
        std::size_t array = none;
        std::size_t offset = 0;
    };
    static constexpr std::size_t none = ~std::size_t{0};  // not the plan's

    PlanMemory() = default;
    ~PlanMemory();
    PlanMemory(const PlanMemory&) = delete;
    PlanMemory& operator=(const PlanMemory&) = delete;

    void* allocate(std::size_t bytes);  // aligned and uninitialised, from the pool
    void release(void* block) noexcept;
    void count_call() { ++calls_; }

    // Where `bytes` at `data` lie in an array that somebody holds.
    Place find(const void* data, std::size_t bytes) const;
    bool is_written(Place place) const { return arrays_[place.array].is_written; }
    void mark_written(Place place) { arrays_[place.array].is_written = true; }
    // The array's numbers are wanted after the last call: it gets a place in the block, too,
    // whoever holds the memory that it has now.
    void mark_result(Place place) { arrays_[place.array].is_result = true; }

    // Lays all arrays into one block, but for those that somebody holds and that are no results:
    // they stay where they are for as long as the plan lives.
    void lay_out();
    bool is_laid_out() const { return is_laid_out_; }
    char* address(Place place) const { return arrays_[place.array].data + place.offset; }
    // For each call what is free in the block meanwhile, in large pieces.
    std::vector<Arena>& free_during_calls() { return free_; }

    std::size_t bytes() const;  // of the block and of the arrays that somebody holds

 private:
    struct Array {
        char* data;
        std::size_t bytes, begin, end;
        bool is_written = false, is_result = false;
    };

    std::vector<std::size_t> arrays_of_the_block();
    void find_free(const std::vector<std::size_t>& members);

    std::vector<Array> arrays_;
    std::map<const char*, std::size_t> held_;  // numbers of arrays by their address
    std::vector<Arena> free_;
    char* block_ = nullptr;
    std::size_t block_bytes_ = 0, calls_ = 0;
    bool is_laid_out_ = false;
};

}  // namespace voxelgrad

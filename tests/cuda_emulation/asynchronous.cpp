// Copies into shared memory that are done at the wait for them, and which of them products see.
#include "asynchronous.hpp"

#include <algorithm>
#include <deque>
#include <map>
#include <string>
#include <vector>

namespace emulation {
namespace {

constexpr std::size_t run_bytes = 16;  // bytes: what copies and products move at least

struct Copy {
    unsigned char* to;
    const unsigned char* from;
    std::size_t bytes;

    void land() const {
        if (from)
            std::copy_n(from, bytes, to);
        else
            std::fill_n(to, bytes, 0);
    }
};

struct Thread {
    std::vector<Copy> begun;  // since the last batch ended
    std::deque<std::vector<Copy>> batches;
    std::vector<std::size_t> landed;  // runs that this thread has not shown to products
};

struct Barrier {
    unsigned phase = 0;
    bool expects = false;      // an arrival has said what comes
    std::vector<Copy> copies;  // that are on the way
};

struct Block {
    std::uint64_t number = 0;
    std::map<unsigned, Thread> threads;
    std::map<const void*, Barrier> barriers;
    std::vector<bool> hidden;  // runs that products do not see
};

// Of the block that runs.
Block& block() {
    static Block current;
    if (current.number != block_number()) current = {block_number(), {}, {}, {}};
    return current;
}

Thread& thread() { return block().threads[thread_number()]; }

void hide(std::size_t number, bool is_hidden) {
    std::vector<bool>& hidden = block().hidden;
    if (hidden.size() <= number) hidden.resize(number + 1);
    hidden[number] = is_hidden;
}

std::size_t checked_offset(const void* shared, const void* from, std::size_t bytes,
                           const Location& where) {
    const std::size_t offset = shared_offset(shared);
    if (offset % run_bytes != 0 || reinterpret_cast<std::uintptr_t>(from) % run_bytes != 0 ||
        bytes % run_bytes != 0)
        complain("a copy whose addresses or size are no multiples of 16", where);
    return offset;
}

// Until it lands nobody may read there.
void spoil(void* shared, std::size_t bytes) {
    std::fill_n(static_cast<unsigned char*>(shared), bytes, 0xFF);
}

Barrier& started(void* barrier, const Location& where) {
    const auto found = block().barriers.find(barrier);
    if (found == block().barriers.end()) complain("a barrier is used that was not started", where);
    return found->second;
}

void complete(Barrier& barrier) {
    for (const Copy& copy : barrier.copies) copy.land();
    barrier.copies.clear();
    barrier.expects = false;
    ++barrier.phase;
}

}  // namespace

void begin_copy(void* shared, const void* from, const Location& where) {
    const std::size_t offset = checked_offset(shared, from, run_bytes, where);
    spoil(shared, run_bytes);
    hide(offset / run_bytes, true);
    thread().begun.push_back(
        {static_cast<unsigned char*>(shared), static_cast<const unsigned char*>(from), run_bytes});
}

void end_copies() {
    thread().batches.push_back(std::move(thread().begun));
    thread().begun.clear();
}

void wait_for_copies(int left) {
    Thread& self = thread();
    for (; self.batches.size() > static_cast<std::size_t>(left); self.batches.pop_front())
        for (const Copy& copy : self.batches.front()) {
            copy.land();
            self.landed.push_back(shared_offset(copy.to) / run_bytes);
        }
}

void fence_for_products() {
    for (const std::size_t number : thread().landed) hide(number, false);
    thread().landed.clear();
}

void start_landing(void* barrier) { block().barriers[barrier] = {}; }

void begin_landing(void* shared, const void* from, std::size_t bytes, void* barrier,
                   const Location& where) {
    checked_offset(shared, from, bytes, where);
    Barrier& to = started(barrier, where);
    if (to.expects) complete(to);
    spoil(shared, bytes);
    to.expects = true;
    to.copies.push_back(
        {static_cast<unsigned char*>(shared), static_cast<const unsigned char*>(from), bytes});
    notify(barrier);
}

void wait_for_landing(void* barrier, unsigned phase, const Location& where) {
    while (started(barrier, where).phase % 2 == phase) {
        if (started(barrier, where).expects)
            complete(started(barrier, where));
        else
            wait_for(barrier, where);
    }
}

const unsigned char* read_by_product(std::size_t address, const Location& where) {
    const std::vector<bool>& hidden = block().hidden;
    if (address / run_bytes < hidden.size() && hidden[address / run_bytes])
        complain("a product reads shared memory at byte " + std::to_string(address) +
                     ", which was written without a fence after it",
                 where);
    return shared_at(address, run_bytes);
}

}  // namespace emulation

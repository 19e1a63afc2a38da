// Threads of our own: a pool that starts lazily, survives fork, and runs nested calls serially.
//
// The caller decides how the work is cut, from the problem alone and never from the number of
// threads; so results do not depend on how many threads run. Chunks may run in any order and on any
// thread. Calls from several Python threads at once are safe: the pool serves one, the others run
// their chunks themselves.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

namespace voxelgrad {

int num_threads();
void set_num_threads(int count);

namespace detail {
using ChunkFunction = void (*)(void* context, std::int64_t chunk);
void run_chunks(std::int64_t count, ChunkFunction function, void* context);
}  // namespace detail

// Runs body(chunk) for every chunk in [0, count). Every chunk runs even when one throws; then the
// exception of the lowest chunk that threw is rethrown.
template <class Body>
void parallel_for(std::int64_t count, Body&& body) {
    using Plain = std::remove_reference_t<Body>;
    detail::run_chunks(
        count, [](void* context, std::int64_t chunk) { (*static_cast<Plain*>(context))(chunk); },
        const_cast<void*>(static_cast<const void*>(&body)));
}

// Runs body(begin, end) over [0, total) in pieces of `grain`, the last one shorter.
template <class Body>
void parallel_for_ranges(std::int64_t total, std::int64_t grain, Body&& body) {
    const std::int64_t chunks = (total + grain - 1) / grain;
    parallel_for(chunks, [&](std::int64_t chunk) {
        const std::int64_t begin = chunk * grain;
        body(begin, std::min(begin + grain, total));
    });
}

}  // namespace voxelgrad

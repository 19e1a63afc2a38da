#include "core/parallel_for.hpp"

#include <pthread.h>
#include <sched.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "core/check.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace voxelgrad {
namespace {

// How long a thread that waits stays awake: longer than the gap between two ops of a network, also
// when Python runs in between. Waking a thread costs more than many an op.
constexpr std::chrono::microseconds awake_time{200};
constexpr int rounds_between_looks = 64;  // at the clock
constexpr std::uint64_t remaining_mask = 0xFFFFFFFFu;
constexpr int max_threads = 1024;

void pause_briefly() {
#if defined(__x86_64__)
    _mm_pause();
#else
    std::this_thread::yield();
#endif
}

// Spins a little, then sleeps, until `value` differs from `old`.
template <class T>
void wait_for_change(const std::atomic<T>& value, T old) {
    const auto start = std::chrono::steady_clock::now();
    do {
        for (int round = 0; round < rounds_between_looks; ++round) {
            if (value.load(std::memory_order_acquire) != old) return;
            pause_briefly();
        }
    } while (std::chrono::steady_clock::now() - start < awake_time);
    value.wait(old, std::memory_order_acquire);
}

// Two cores may need a microsecond to hand a cache line over, so what only one thread writes while
// a job runs has a line of its own.
constexpr std::size_t own_line = 64;

// The chunks that one thread takes first: the job's number (high half) and how many of them nobody
// has taken yet (low half). A thread takes a chunk by counting the low half down; success proves
// that the job is still running, so the fields that it read belong to that job.
struct alignas(own_line) Share {
    std::atomic<std::uint64_t> ticket{0};
};

// One job at a time. Its chunks are shared out evenly and in order, so that what a thread wrote in
// one job it mostly reads in the next one; who is done early takes chunks of the others' shares.
struct Pool {
    std::mutex busy;
    std::vector<pthread_t> workers;
    int caller_cpu = -1;  // where the last caller ran
    std::mutex error_lock;
    std::exception_ptr error;
    std::int64_t error_chunk = 0;

    alignas(own_line) std::atomic<std::uint64_t> job{0};  // counts them; workers wait for it
    std::atomic<int> participants{1};  // the caller and the workers of lower numbers
    std::int64_t count = 0;
    detail::ChunkFunction function = nullptr;
    void* context = nullptr;

    alignas(own_line) std::atomic<std::int64_t> helped{0};  // chunks of all jobs that workers ran
    std::array<Share, max_threads> shares;                  // the caller's, then the workers'

    std::int64_t first_chunk(std::int64_t share, std::int64_t sharers) const {
        return share * count / sharers;
    }
};

std::atomic<int> requested_threads{0};
std::atomic<Pool*> the_pool{nullptr};
thread_local bool inside_chunk = false;

void record_error(Pool& pool, std::int64_t chunk) {
    std::lock_guard lock(pool.error_lock);
    if (pool.error && pool.error_chunk <= chunk) return;
    pool.error = std::current_exception();
    pool.error_chunk = chunk;
}

// Runs chunks of one share until none is left; returns how many.
std::int64_t take_chunks(Pool& pool, int number) {
    std::atomic<std::uint64_t>& share = pool.shares[static_cast<std::size_t>(number)].ticket;
    std::uint64_t ticket = share.load(std::memory_order_acquire);
    std::int64_t taken = 0;
    while (ticket & remaining_mask) {
        const std::int64_t end =
            pool.first_chunk(number + 1, pool.participants.load(std::memory_order_relaxed));
        const auto function = pool.function;
        void* const context = pool.context;
        if (!share.compare_exchange_weak(ticket, ticket - 1, std::memory_order_acq_rel)) continue;
        const std::int64_t chunk = end - static_cast<std::int64_t>(ticket & remaining_mask);
        try {
            function(context, chunk);
        } catch (...) {
            record_error(pool, chunk);
        }
        ++taken;
        ticket = share.load(std::memory_order_acquire);
    }
    return taken;
}

// One's own share first, then those of the others.
std::int64_t take_shares(Pool& pool, int own) {
    const int participants = pool.participants.load(std::memory_order_relaxed);
    std::int64_t taken = 0;
    for (int i = 0; i < participants; ++i) taken += take_chunks(pool, (own + i) % participants);
    return taken;
}

void worker_main(Pool* pool, int number) {
    inside_chunk = true;  // whatever a worker calls runs serially
    for (;;) {
        const std::uint64_t seen = pool->job.load(std::memory_order_acquire);
        if (number < pool->participants.load(std::memory_order_relaxed))
            if (const std::int64_t taken = take_shares(*pool, number)) {
                pool->helped.fetch_add(taken, std::memory_order_acq_rel);
                pool->helped.notify_all();
            }
        wait_for_change(pool->job, seen);
    }
}

// A child of fork has none of its parent's threads: it leaves the old pool behind and starts a new
// one when it needs it.
void abandon_pool_in_child() {
    the_pool.store(nullptr);
    inside_chunk = false;
}

Pool& pool() {
    if (Pool* existing = the_pool.load(std::memory_order_acquire)) return *existing;
    static const int registered = pthread_atfork(nullptr, nullptr, abandon_pool_in_child);
    (void)registered;
    Pool* fresh = new Pool;  // never deleted: its threads live as long as the process
    Pool* expected = nullptr;
    if (the_pool.compare_exchange_strong(expected, fresh)) return *fresh;
    delete fresh;  // another thread was first
    return *expected;
}

int default_threads() {
    if (const char* text = std::getenv("VOXELGRAD_NUM_THREADS")) {
        const int value = std::atoi(text);
        if (value >= 1) return std::min(value, max_threads);
    }
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
    return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

void run_serially(std::int64_t count, detail::ChunkFunction function, void* context) {
    for (std::int64_t chunk = 0; chunk < count; ++chunk) function(context, chunk);
}

// A woken thread may be put on the processor of the thread that wakes it, where it waits its turn
// for milliseconds while another processor idles. So the workers are kept off the caller's.
void keep_off_this_cpu(Pool& pool) {
    const int cpu = sched_getcpu();
    if (cpu == pool.caller_cpu) return;
    pool.caller_cpu = cpu;
    cpu_set_t others;
    CPU_ZERO(&others);
    if (cpu < 0 || sched_getaffinity(0, sizeof others, &others) != 0) return;
    CPU_CLR(static_cast<std::size_t>(cpu), &others);
    if (CPU_COUNT(&others) == 0) return;
    for (const pthread_t worker : pool.workers)
        pthread_setaffinity_np(worker, sizeof others, &others);
}

void start_workers(Pool& pool, int count) {
    while (static_cast<int>(pool.workers.size()) < count) {
        std::thread worker(worker_main, &pool, static_cast<int>(pool.workers.size()) + 1);
        pool.workers.push_back(worker.native_handle());
        worker.detach();
        pool.caller_cpu = -1;
    }
}

void publish(Pool& pool, int participants, std::int64_t count, detail::ChunkFunction function,
             void* context) {
    start_workers(pool, participants - 1);
    keep_off_this_cpu(pool);
    pool.count = count;
    pool.function = function;
    pool.context = context;
    pool.error = nullptr;
    pool.participants.store(participants, std::memory_order_relaxed);
    const std::uint64_t job = (pool.job.load(std::memory_order_relaxed) + 1) & remaining_mask;
    for (int i = 0; i < participants; ++i) {
        const std::int64_t chunks =
            pool.first_chunk(i + 1, participants) - pool.first_chunk(i, participants);
        pool.shares[static_cast<std::size_t>(i)].ticket.store(
            job << 32 | static_cast<std::uint64_t>(chunks), std::memory_order_release);
    }
    pool.job.store(job, std::memory_order_release);
    pool.job.notify_all();
}

}  // namespace

int num_threads() {
    int count = requested_threads.load(std::memory_order_relaxed);
    if (count == 0) {
        count = default_threads();
        requested_threads.store(count);
    }
    return count;
}

void set_num_threads(int count) {
    check(count >= 1 && count <= max_threads, "set_num_threads: count is ", count,
          "; it must be 1 to ", max_threads);
    requested_threads.store(count);
}

namespace detail {

void run_chunks(std::int64_t count, ChunkFunction function, void* context) {
    const int threads = num_threads();
    const bool too_many = count > static_cast<std::int64_t>(remaining_mask);
    if (count <= 1 || threads == 1 || inside_chunk || too_many)
        return run_serially(count, function, context);
    Pool& shared = pool();
    std::unique_lock busy(shared.busy, std::try_to_lock);
    if (!busy) return run_serially(count, function, context);
    const std::int64_t before = shared.helped.load(std::memory_order_relaxed);
    publish(shared, threads, count, function, context);

    inside_chunk = true;
    const std::int64_t rest = count - take_shares(shared, 0);
    inside_chunk = false;
    std::int64_t helped = shared.helped.load(std::memory_order_acquire);
    while (helped - before < rest) {
        wait_for_change(shared.helped, helped);
        helped = shared.helped.load(std::memory_order_acquire);
    }
    if (shared.error) std::rethrow_exception(std::exchange(shared.error, nullptr));
}

}  // namespace detail
}  // namespace voxelgrad

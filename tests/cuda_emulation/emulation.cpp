// The fibers, barriers and memory of the emulated device.
#include "emulation.hpp"

#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <map>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <vector>

namespace emulation {

Built built;
bool is_hopper = false;

namespace {

constexpr std::size_t stack_bytes = 128 << 10;
constexpr std::size_t static_limit = 48 << 10;  // what nvcc allows
constexpr std::size_t guard_bytes = 256;
constexpr unsigned char fresh = 0xFF;  // NaN in float, bfloat16 and double; -1 in integers
constexpr unsigned char guard = 0xFF;  // reads of it are NaN as well

enum class State { running, at_barrier, in_warp, waiting, done };

struct Thread {
    uint3 index;
    State state;
    Location where;
    int fiber;
    const void* thing;  // that it waits for
    std::uint64_t received[warpSize];
};

struct Fiber {
    std::unique_ptr<char[]> stack;
    jmp_buf place;
    bool started = false;
};

// A warp function that some of its threads have reached.
struct Meeting {
    unsigned warp, mask, arrived;
    std::uint64_t given[warpSize];
    Location where;
};

struct SharedVariable {
    const void* key;
    std::size_t offset, size;
};

// The launch that runs, if any.
struct Launch {
    const char* op;
    const std::function<void()>* kernel;
    std::vector<Thread> threads;
    unsigned next = 0;     // the first thread that has not begun
    unsigned current = 0;  // the thread that runs
    unsigned done = 0, at_barrier = 0;
    Location barrier;             // where they wait
    std::vector<unsigned> ready;  // threads that may go on
    std::vector<Meeting> meetings;
    std::vector<SharedVariable> variables;
    std::size_t dynamic_bytes = 0, shared_bytes = 0;
    std::exception_ptr error;
};

Launch* launch = nullptr;
std::vector<Fiber> fibers;
std::vector<int> idle_fibers;
int running_fiber = -1;
jmp_buf scheduler;
std::uint64_t blocks_run = 0;
alignas(1024) unsigned char shared_memory[hopper_limit + 4 * guard_bytes];
std::map<unsigned char*, std::size_t> allocations;

std::string place_of(const Location& where) {
    const std::string file = where.file_name();
    return file.substr(file.find_last_of('/') + 1) + ":" + std::to_string(where.line());
}

template <class... Parts>
[[noreturn]] void complain(const Parts&... parts) {
    std::ostringstream message;
    message << launch->op << ": in block (" << built.block.x << ", " << built.block.y << ", "
            << built.block.z << "): ";
    (message << ... << parts);
    throw std::runtime_error(message.str());
}

void to_scheduler() {
    if (_setjmp(fibers[running_fiber].place) == 0) _longjmp(scheduler, 1);
}

void become(unsigned number) {
    launch->current = number;
    built.thread = launch->threads[number].index;
}

// A fiber runs threads to their end until one has to wait; then it belongs to that thread.
void fiber_main() {
    for (;;) {
        while (!launch->error && launch->next < launch->threads.size()) {
            become(launch->next);
            launch->threads[launch->next++].fiber = running_fiber;
            try {
                (*launch->kernel)();
            } catch (...) {
                launch->error = std::current_exception();
            }
            launch->threads[launch->current].state = State::done;
            ++launch->done;
        }
        idle_fibers.push_back(running_fiber);
        to_scheduler();
    }
}

int idle_fiber() {
    if (idle_fibers.empty()) {
        fibers.emplace_back();
        fibers.back().stack = std::make_unique<char[]>(stack_bytes);
        return static_cast<int>(fibers.size()) - 1;
    }
    const int number = idle_fibers.back();
    idle_fibers.pop_back();
    return number;
}

void start(int number) {
    Fiber& fiber = fibers[number];
    if (fiber.started) _longjmp(fiber.place, 1);
    fiber.started = true;
    static ucontext_t context, never;
    getcontext(&context);
    context.uc_stack.ss_sp = fiber.stack.get();
    context.uc_stack.ss_size = stack_bytes;
    context.uc_link = nullptr;
    makecontext(&context, fiber_main, 0);
    swapcontext(&never, &context);
}

// Lets a fiber run until it waits or has nothing left to run.
void run_fiber(int number) {
    running_fiber = number;
    if (_setjmp(scheduler) == 0) start(number);
}

void wait(State state, const Location& where) {
    const unsigned self = launch->current;
    launch->threads[self].state = state;
    launch->threads[self].where = where;
    to_scheduler();
    launch->threads[self].state = State::running;
}

[[noreturn]] void complain_of_waiting() {
    for (const Thread& thread : launch->threads) {
        if (thread.state == State::at_barrier)
            complain("the barrier at ", place_of(thread.where), " was reached by ",
                     launch->at_barrier, " of ", launch->threads.size(), " threads; ", launch->done,
                     " have ended");
        if (thread.state == State::in_warp)
            complain("the warp function at ", place_of(thread.where),
                     " was not reached by all the threads of its mask");
        if (thread.state == State::waiting)
            complain("what is waited for at ", place_of(thread.where), " never comes");
    }
    complain("no thread can run");
}

void run_threads() {
    Launch& all = *launch;
    while (!all.error && all.done < all.threads.size()) {
        if (!all.ready.empty()) {
            const unsigned number = all.ready.back();
            all.ready.pop_back();
            become(number);
            run_fiber(all.threads[number].fiber);
        } else if (all.next < all.threads.size()) {
            run_fiber(idle_fiber());
        } else {
            complain_of_waiting();
        }
    }
}

// Guard zones stand behind each variable.
void check_shared_guards() {
    const auto intact = [](const unsigned char* from, std::size_t count) {
        return std::all_of(from, from + count, [](unsigned char c) { return c == guard; });
    };
    for (const SharedVariable& variable : launch->variables)
        if (!intact(shared_memory + variable.offset + variable.size, guard_bytes / 4))
            complain("a write behind a shared variable of ", variable.size, " bytes");
    if (!intact(shared_memory + launch->dynamic_bytes, guard_bytes / 4))
        complain("a write behind the ", launch->dynamic_bytes, " bytes of dynamic shared memory");
}

void run_block() {
    Launch& all = *launch;
    ++blocks_run;
    std::fill_n(shared_memory, sizeof shared_memory, fresh);
    all.variables.clear();
    all.meetings.clear();
    all.ready.clear();
    all.shared_bytes = (all.dynamic_bytes + guard_bytes / 4 + 15) / 16 * 16;
    all.next = all.done = all.at_barrier = 0;
    for (Thread& thread : all.threads) thread.state = State::running;
    run_threads();
    if (all.error) std::rethrow_exception(all.error);
    check_shared_guards();
}

// A damaged guard is mended before it is complained of, so that it is named once.
void check_device_guards() {
    for (const auto& [data, size] : allocations) {
        for (std::size_t i = 0; i < guard_bytes; ++i) {
            unsigned char& before = data[-1 - static_cast<std::ptrdiff_t>(i)];
            unsigned char& behind = data[size + i];
            if (before == guard && behind == guard) continue;
            const char* const side = before != guard ? " bytes before" : " bytes behind";
            std::fill_n(data - guard_bytes, guard_bytes, guard);
            std::fill_n(data + size, guard_bytes, guard);
            complain("a write ", i + 1, side, " an array of ", size, " bytes");
        }
    }
}

void check_configuration(dim3 grid, dim3 block, std::size_t dynamic) {
    const auto threads = static_cast<std::size_t>(block.x) * block.y * block.z;
    if (threads == 0 || threads > 1024 || block.z > 64)
        complain("blocks of ", block.x, " x ", block.y, " x ", block.z, " threads");
    if (grid.x == 0 || grid.x > 0x7FFFFFFFu || grid.y - 1 > 65534u || grid.z - 1 > 65534u)
        complain("a grid of ", grid.x, " x ", grid.y, " x ", grid.z, " blocks");
    if (dynamic > shared_limit()) complain(dynamic, " bytes of dynamic shared memory");
}

// After an error fibers are left waiting: none of them is used again.
void forget_fibers() {
    idle_fibers.clear();
    fibers.clear();
}

struct Current {
    explicit Current(Launch& started) { launch = &started; }
    ~Current() { launch = nullptr; }
};

void run_blocks(dim3 grid) {
    for (built.block.z = 0; built.block.z < grid.z; ++built.block.z)
        for (built.block.y = 0; built.block.y < grid.y; ++built.block.y)
            for (built.block.x = 0; built.block.x < grid.x; ++built.block.x) run_block();
    built.block = {grid.x - 1, grid.y - 1, grid.z - 1};
    check_device_guards();
}

}  // namespace

void run(const char* op, dim3 grid, dim3 block, std::size_t dynamic_shared,
         const std::function<void()>& kernel) {
    Launch all{};
    all.op = op;
    all.kernel = &kernel;
    all.dynamic_bytes = dynamic_shared;
    const Current current(all);
    built = {{}, {}, block, grid};
    check_configuration(grid, block, dynamic_shared);
    for (unsigned z = 0; z < block.z; ++z)
        for (unsigned y = 0; y < block.y; ++y)
            for (unsigned x = 0; x < block.x; ++x)
                all.threads.push_back({{x, y, z}, {}, {}, -1, nullptr, {}});
    try {
        run_blocks(grid);
    } catch (...) {
        forget_fibers();
        throw;
    }
}

void wait_for_block(const Location& where) {
    Launch& all = *launch;
    const unsigned self = all.current;
    if (all.at_barrier == 0) all.barrier = where;
    if (all.barrier.line() != where.line())
        complain("threads wait at different barriers, ", place_of(all.barrier), " and ",
                 place_of(where));
    if (++all.at_barrier < all.threads.size()) return wait(State::at_barrier, where);
    all.at_barrier = 0;
    for (unsigned i = static_cast<unsigned>(all.threads.size()); i-- > 0;)
        if (i != self) all.ready.push_back(i);
}

unsigned lane() { return launch->current % warpSize; }
unsigned thread_number() { return launch->current; }
std::uint64_t block_number() { return blocks_run; }

void wait_for(const void* thing, const Location& where) {
    launch->threads[launch->current].thing = thing;
    wait(State::waiting, where);
}

void notify(const void* thing) {
    for (unsigned i = static_cast<unsigned>(launch->threads.size()); i-- > 0;) {
        if (launch->threads[i].thing != thing) continue;
        launch->threads[i].thing = nullptr;
        launch->ready.push_back(i);
    }
}

void complain(const std::string& problem, const Location& where) {
    complain(problem, ", at ", place_of(where));
}

const std::uint64_t* exchange(unsigned mask, std::uint64_t value, const Location& where) {
    Launch& all = *launch;
    const unsigned self = all.current, warp = self / warpSize, bit = 1u << self % warpSize;
    if (!(mask & bit)) complain("a thread calls ", place_of(where), " with a mask without itself");
    auto meeting = std::find_if(all.meetings.begin(), all.meetings.end(),
                                [&](const Meeting& m) { return m.warp == warp && m.mask == mask; });
    if (meeting == all.meetings.end())
        meeting = all.meetings.insert(meeting, Meeting{warp, mask, 0, {}, where});
    if (meeting->where.line() != where.line())
        complain("threads of a warp meet at different places, ", place_of(meeting->where), " and ",
                 place_of(where));
    meeting->given[self % warpSize] = value;
    meeting->arrived |= bit;
    if (meeting->arrived != mask) {
        wait(State::in_warp, where);
        return all.threads[self].received;
    }
    for (unsigned i = warpSize; i-- > 0;) {
        if (!(mask >> i & 1)) continue;
        Thread& member = all.threads[warp * warpSize + i];
        std::copy_n(meeting->given, warpSize, member.received);
        if (warp * warpSize + i != self) all.ready.push_back(warp * warpSize + i);
    }
    all.meetings.erase(meeting);
    return all.threads[self].received;
}

void* shared(const void* key, std::size_t size, std::size_t alignment) {
    Launch& all = *launch;
    for (const SharedVariable& variable : all.variables)
        if (variable.key == key) return shared_memory + variable.offset;
    const std::size_t offset = (all.shared_bytes + alignment - 1) / alignment * alignment;
    std::size_t total = size;
    for (const SharedVariable& variable : all.variables) total += variable.size;
    if (total > static_limit) complain(total, " bytes of static shared memory");
    if (total + all.dynamic_bytes > shared_limit())
        complain(total + all.dynamic_bytes, " bytes of shared memory");
    all.variables.push_back({key, offset, size});
    all.shared_bytes = offset + size + guard_bytes / 4;
    if (all.shared_bytes > sizeof shared_memory) complain("too many shared variables");
    return shared_memory + offset;
}

void* dynamic_shared() { return shared_memory; }

std::size_t shared_offset(const void* shared) {
    const std::ptrdiff_t offset = static_cast<const unsigned char*>(shared) - shared_memory;
    if (offset < 0 || static_cast<std::size_t>(offset) >= sizeof shared_memory)
        complain("an address that lies outside shared memory");
    return static_cast<std::size_t>(offset);
}

const unsigned char* shared_at(std::size_t offset, std::size_t bytes) {
    if (offset + bytes > sizeof shared_memory) complain("a read behind shared memory");
    return shared_memory + offset;
}

void* allocate(std::size_t bytes) {
    auto* const block = static_cast<unsigned char*>(
        ::operator new(bytes + 2 * guard_bytes, std::align_val_t{guard_bytes}));
    std::fill_n(block, bytes + 2 * guard_bytes, fresh);
    allocations[block + guard_bytes] = bytes;
    return block + guard_bytes;
}

void release(void* data) {
    auto* const address = static_cast<unsigned char*>(data);
    const auto found = allocations.find(address);
    if (found == allocations.end()) throw std::invalid_argument("release: no such memory");
    std::fill_n(address, found->second, fresh);
    allocations.erase(found);
    ::operator delete(address - guard_bytes, std::align_val_t{guard_bytes});
}

std::size_t bytes_in_use() {
    std::size_t total = 0;
    for (const auto& [data, size] : allocations) total += size;
    return total;
}

}  // namespace emulation

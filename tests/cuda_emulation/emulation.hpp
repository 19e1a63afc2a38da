// What CUDA gives a kernel, for g++: so that the very same .cuh source runs on the host.
//
// A launch runs its blocks one after the other on the calling thread; the threads of a block are
// fibers. This proves indexing and arithmetic. It proves nothing about speed, and nothing about
// races: fibers change places at barriers and warp functions only. What it does catch: shared
// memory that is read before it is written (it is NaN before each block), writes beside shared and
// device memory, barriers and warp functions that not all of their threads reach, too many threads
// or too much shared memory.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <source_location>
#include <string>
#include <tuple>
#include <type_traits>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __grid_constant__
#define __launch_bounds__(...)

struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x = 1, y = 1, z = 1;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
constexpr int warpSize = 32;

namespace emulation {

using Location = std::source_location;

struct Built {
    uint3 thread, block;
    dim3 block_dim, grid_dim;
};
// Of the thread that runs now.
extern Built built;
// Whether the device is one of compute capability 9.0: more shared memory, and warpgroups.
extern bool is_hopper;
constexpr std::size_t hopper_limit = 227 << 10;
// Of shared memory; elsewhere that of the smallest device that is built for (sm_86).
inline std::size_t shared_limit() { return is_hopper ? hopper_limit : 99 << 10; }

// Runs a kernel on all blocks. Throws std::runtime_error, which names `op`, the block and the place
// in the source, for what the head of this file lists.
void run(const char* op, dim3 grid, dim3 block, std::size_t dynamic_shared,
         const std::function<void()>& kernel);

// Runs work of a stream (null: the default one) at once, or keeps it for a graph if the stream
// captures.
void submit(void* stream, std::function<void()> work);

void wait_for_block(const Location& where);
// All threads named in the mask give 8 bytes; afterwards each reads what the others gave.
const std::uint64_t* exchange(unsigned mask, std::uint64_t value, const Location& where);
unsigned lane();
unsigned thread_number();
std::uint64_t block_number();  // of all that were ever run

// Waits until another thread notifies those who wait for `thing`; which may have come about
// already, so that callers ask before.
void wait_for(const void* thing, const Location& where);
void notify(const void* thing);
[[noreturn]] void complain(const std::string& problem, const Location& where);

void* shared(const void* key, std::size_t size, std::size_t alignment);
void* dynamic_shared();
std::size_t shared_offset(const void* shared);
const unsigned char* shared_at(std::size_t offset, std::size_t bytes);

template <class T, class Key>
T& shared_variable(Key) {
    static const char key = 0;
    return *static_cast<T*>(shared(&key, sizeof(T), alignof(T) < 16 ? 16 : alignof(T)));
}

// Device memory with guard zones, which are looked at after every launch; NaN all over.
void* allocate(std::size_t bytes);
void release(void* data);
std::size_t bytes_in_use();

template <class T>
std::uint64_t bits_of(T value) {
    static_assert(sizeof(T) <= 8 && std::is_trivially_copyable_v<T>);
    std::uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof value);
    return bits;
}

template <class T>
T value_of(std::uint64_t bits) {
    T value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

// The value of lane `source`, or one's own where that lane lies outside the group of `width`.
template <class T>
T shuffle(unsigned mask, T value, int source, bool inside, const Location& where) {
    const std::uint64_t* const all = exchange(mask, bits_of(value), where);
    return inside ? value_of<T>(all[source]) : value;
}

}  // namespace emulation

#define threadIdx (::emulation::built.thread)
#define blockIdx (::emulation::built.block)
#define blockDim (::emulation::built.block_dim)
#define gridDim (::emulation::built.grid_dim)

inline void __syncthreads(emulation::Location where = emulation::Location::current()) {
    emulation::wait_for_block(where);
}
inline void __syncwarp(unsigned mask = 0xFFFFFFFFu,
                       emulation::Location where = emulation::Location::current()) {
    emulation::exchange(mask, 0, where);
}
inline void __threadfence() {}
inline void __threadfence_block() {}

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = warpSize,
              emulation::Location where = emulation::Location::current()) {
    const int first = static_cast<int>(emulation::lane()) / width * width;
    return emulation::shuffle(mask, value, first + (source & (width - 1)), true, where);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = warpSize,
                 emulation::Location where = emulation::Location::current()) {
    const int lane = static_cast<int>(emulation::lane()), source = lane - static_cast<int>(delta);
    return emulation::shuffle(mask, value, source, source >= lane / width * width, where);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = warpSize,
                   emulation::Location where = emulation::Location::current()) {
    const int lane = static_cast<int>(emulation::lane()), source = lane + static_cast<int>(delta);
    return emulation::shuffle(mask, value, source, source < (lane / width + 1) * width, where);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = warpSize,
                  emulation::Location where = emulation::Location::current()) {
    const int lane = static_cast<int>(emulation::lane()), source = lane ^ lanes;
    return emulation::shuffle(mask, value, source, source < (lane / width + 1) * width, where);
}
inline unsigned __ballot_sync(unsigned mask, int predicate,
                              emulation::Location where = emulation::Location::current()) {
    const std::uint64_t* const all = emulation::exchange(mask, predicate != 0, where);
    unsigned votes = 0;
    for (int i = 0; i < warpSize; ++i)
        if (mask >> i & 1 && all[i]) votes |= 1u << i;
    return votes;
}
inline int __any_sync(unsigned mask, int predicate,
                      emulation::Location where = emulation::Location::current()) {
    return __ballot_sync(mask, predicate, where) != 0;
}
inline int __all_sync(unsigned mask, int predicate,
                      emulation::Location where = emulation::Location::current()) {
    return __ballot_sync(mask, predicate, where) == mask;
}

// One fiber runs at a time: reading and writing in turn is atomic.
template <class T, class U>
T atomicAdd(T* address, U value) {
    const T old = *address;
    *address = static_cast<T>(old + value);
    return old;
}
template <class T, class U>
T atomicMax(T* address, U value) {
    const T old = *address;
    if (static_cast<T>(value) > old) *address = static_cast<T>(value);
    return old;
}
template <class T, class U>
T atomicMin(T* address, U value) {
    const T old = *address;
    if (static_cast<T>(value) < old) *address = static_cast<T>(value);
    return old;
}
template <class T, class U>
T atomicOr(T* address, U value) {
    const T old = *address;
    *address = static_cast<T>(old | value);
    return old;
}
template <class T, class U>
T atomicExch(T* address, U value) {
    const T old = *address;
    *address = static_cast<T>(value);
    return old;
}
template <class T, class U, class V>
T atomicCAS(T* address, U expected, V value) {
    const T old = *address;
    if (old == static_cast<T>(expected)) *address = static_cast<T>(value);
    return old;
}

template <class T>
T __ldg(const T* address) {
    return *address;
}
inline int __popc(unsigned value) { return __builtin_popcount(value); }
inline int __clz(int value) {
    return value == 0 ? 32 : __builtin_clz(static_cast<unsigned>(value));
}
inline int __ffs(int value) { return __builtin_ffs(value); }
inline unsigned __umulhi(unsigned a, unsigned b) {
    return static_cast<unsigned>(static_cast<std::uint64_t>(a) * b >> 32);
}
inline float rsqrtf(float value) { return 1.0f / std::sqrt(value); }
inline float __int_as_float(int bits) {
    return emulation::value_of<float>(static_cast<unsigned>(bits));
}
inline unsigned __float_as_uint(float value) {
    return static_cast<unsigned>(emulation::bits_of(value));
}
inline int __float_as_int(float value) {
    return emulation::value_of<int>(emulation::bits_of(value));
}

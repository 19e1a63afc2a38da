// Vectors of float for *.isa.cpp files: 4, 8 or 16 lanes after the level that the file is compiled
// for, on the compiler's vector extensions. Everything has internal linkage. Arrays of bfloat16 are
// widened when they are loaded and rounded to the nearest when they are stored.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__SSE__)
#include <immintrin.h>
#endif

#include "core/bf16.hpp"

#ifndef VOXELGRAD_ISA
#error "simd.hpp is for *.isa.cpp files only"
#endif

namespace voxelgrad::VOXELGRAD_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int lanes = 16;
#elif defined(__AVX2__)
constexpr int lanes = 8;
#else
constexpr int lanes = 4;
#endif

typedef float Vec __attribute__((vector_size(lanes * 4)));
typedef std::int32_t IntVec __attribute__((vector_size(lanes * 4)));
typedef std::uint32_t BitVec __attribute__((vector_size(lanes * 4)));
typedef std::uint16_t ShortVec __attribute__((vector_size(lanes * 2)));
typedef float VecUnaligned __attribute__((vector_size(lanes * 4), aligned(4), may_alias));
typedef std::uint16_t ShortUnaligned __attribute__((vector_size(lanes * 2), aligned(2), may_alias));

[[gnu::always_inline]] inline Vec load(const float* p) {
    return *reinterpret_cast<const VecUnaligned*>(p);
}
[[gnu::always_inline]] inline void store(float* p, Vec v) {
    *reinterpret_cast<VecUnaligned*>(p) = v;
}

// Conversions by intrinsics where the compiler's own would go by quarters of a vector.
[[gnu::always_inline]] inline Vec widen(ShortVec bits) {
#if defined(__AVX512F__)
    return (Vec)((BitVec)_mm512_maskz_cvtepu16_epi32(0xFFFF, (__m256i)bits) << 16);
#elif defined(__AVX2__)
    return (Vec)((BitVec)_mm256_cvtepu16_epi32((__m128i)bits) << 16);
#else
    return (Vec)(__builtin_convertvector(bits, BitVec) << 16);
#endif
}

#if defined(__AVX512BF16__)
// Numbers below 2^-126 become 0.
[[gnu::always_inline]] inline ShortVec narrow(Vec v) { return (ShortVec)_mm512_cvtneps_pbh(v); }
#elif defined(__AVX512BW__)
[[gnu::always_inline]] inline ShortVec narrow(Vec v) {
    const __m512i bits = (__m512i)v, one = _mm512_set1_epi32(1);
    const __mmask16 odd = _mm512_test_epi32_mask(bits, _mm512_set1_epi32(0x10000));
    const __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
    __m512i kept = _mm512_add_epi32(bits, _mm512_set1_epi32(0x7FFF));
    kept = _mm512_mask_add_epi32(kept, odd, kept, one);
    kept = _mm512_mask_or_epi32(kept, nan, bits, _mm512_set1_epi32(0x400000));
    // Words 1, 3, 5, ...: the upper halves.
    const __m512i places = _mm512_set_epi32(0, 0, 0, 0, 0, 0, 0, 0, 0x1F001D, 0x1B0019, 0x170015,
                                            0x130011, 0xF000D, 0xB0009, 0x70005, 0x30001);
    const __m512i upper = _mm512_maskz_permutexvar_epi16(0xFFFFFFFF, places, kept);
    ShortVec result;
    std::memcpy(&result, &upper, sizeof result);
    return result;
}
#else
[[gnu::always_inline]] inline ShortVec narrow(Vec v) {
    const BitVec bits = (BitVec)v, nearest = bits + 0x7FFF + (bits >> 16 & 1);
    const BitVec kept = v == v ? nearest : (bits | 0x400000);
    return __builtin_convertvector(kept >> 16, ShortVec);
}
#endif
[[gnu::always_inline]] inline Vec load(const bf16* p) {
    return widen(*reinterpret_cast<const ShortUnaligned*>(p));
}
[[gnu::always_inline]] inline void store(bf16* p, Vec v) {
    *reinterpret_cast<ShortUnaligned*>(p) = narrow(v);
}

// A store past the cache, for what is not read again soon; p is aligned to the vector. Follow the
// last one with stream_fence before another thread may read.
[[gnu::always_inline]] inline void stream(float* p, Vec v) {
#if defined(__AVX512F__)
    _mm512_stream_ps(p, v);
#elif defined(__AVX2__)
    _mm256_stream_ps(p, v);
#elif defined(__SSE__)
    _mm_stream_ps(p, v);
#else
    store(p, v);
#endif
}
[[gnu::always_inline]] inline void stream(bf16* p, Vec v) {
    const ShortVec bits = narrow(v);
#if defined(__AVX512F__)
    _mm256_stream_si256(reinterpret_cast<__m256i*>(p), (__m256i)bits);
#elif defined(__AVX2__)
    _mm_stream_si128(reinterpret_cast<__m128i*>(p), (__m128i)bits);
#else
    std::memcpy(p, &bits, sizeof bits);
#endif
}
// A whole cache line.
template <class T>
[[gnu::always_inline]] inline void stream_line(const T* from, T* to) {
    for (int i = 0; i < 16; i += lanes)
        stream(reinterpret_cast<float*>(to) + i, load(reinterpret_cast<const float*>(from) + i));
}
[[gnu::always_inline]] inline void stream_fence() {
#if defined(__SSE__)
    _mm_sfence();
#endif
}
// x - 0 is x, so that this is one broadcast; 0 + x would turn -0 into 0 and be an addition.
[[gnu::always_inline]] inline Vec splat(float x) { return x - Vec{}; }

// a * b + c, rounded once where the level can. Spelt out where a result must not depend on which
// products the compiler chooses to fuse: the same source compiled in two places may differ.
[[gnu::always_inline]] inline Vec multiply_add(Vec a, Vec b, Vec c) {
#if defined(__AVX512F__)
    return _mm512_fmadd_ps(a, b, c);
#elif defined(__FMA__)
    return _mm256_fmadd_ps(a, b, c);
#else
    return a * b + c;
#endif
}

// Fetches a cache line that is read soon into the second-level cache.
[[gnu::always_inline]] inline void prefetch(const float* p) { __builtin_prefetch(p, 0, 2); }

// The first n lanes (0 < n <= lanes); the others read as zero and are not written.
#if defined(__AVX512F__)
[[gnu::always_inline]] inline __mmask16 first_lanes(int n) {
    return static_cast<__mmask16>((1u << n) - 1);
}
[[gnu::always_inline]] inline Vec load_first(const float* p, int n) {
    return _mm512_maskz_loadu_ps(first_lanes(n), p);
}
[[gnu::always_inline]] inline void store_first(float* p, Vec v, int n) {
    _mm512_mask_storeu_ps(p, first_lanes(n), v);
}
#elif defined(__AVX2__)
[[gnu::always_inline]] inline __m256i first_lanes(int n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
[[gnu::always_inline]] inline Vec load_first(const float* p, int n) {
    return _mm256_maskload_ps(p, first_lanes(n));
}
[[gnu::always_inline]] inline void store_first(float* p, Vec v, int n) {
    _mm256_maskstore_ps(p, first_lanes(n), v);
}
#else
[[gnu::always_inline]] inline Vec load_first(const float* p, int n) {
#if defined(__AVX512F__)
    return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1), p);
#else
    Vec v{};
    std::memcpy(&v, p, static_cast<std::size_t>(n) * 4);
    return v;
#endif
}
[[gnu::always_inline]] inline void store_first(float* p, Vec v, int n) {
#if defined(__AVX512F__)
    _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1), v);
#else
    std::memcpy(p, &v, static_cast<std::size_t>(n) * 4);
#endif
}
#endif

#if defined(__AVX512VL__) && defined(__AVX512BW__)
[[gnu::always_inline]] inline Vec load_first(const bf16* p, int n) {
    return widen((ShortVec)_mm256_maskz_loadu_epi16(first_lanes(n), p));
}
[[gnu::always_inline]] inline void store_first(bf16* p, Vec v, int n) {
    _mm256_mask_storeu_epi16(p, first_lanes(n), (__m256i)narrow(v));
}
#else
[[gnu::always_inline]] inline Vec load_first(const bf16* p, int n) {
    ShortVec bits{};
    std::memcpy(&bits, p, static_cast<std::size_t>(n) * 2);
    return widen(bits);
}
[[gnu::always_inline]] inline void store_first(bf16* p, Vec v, int n) {
    const ShortVec bits = narrow(v);
    std::memcpy(p, &bits, static_cast<std::size_t>(n) * 2);
}
#endif

// A whole vector, or its first n lanes at the end of a run; n may exceed `lanes`.
template <class T>
[[gnu::always_inline]] inline Vec load_some(const T* p, std::int64_t n) {
    return n >= lanes ? load(p) : load_first(p, static_cast<int>(n));
}
template <class T>
[[gnu::always_inline]] inline void store_some(T* p, Vec v, std::int64_t n) {
    if (n >= lanes)
        store(p, v);
    else
        store_first(p, v, static_cast<int>(n));
}

// store_some, but whole vectors past the cache if that is wanted.
template <class T>
[[gnu::always_inline]] inline void put_some(T* p, Vec v, std::int64_t n, bool past_cache) {
    if (past_cache && n >= lanes)
        stream(p, v);
    else
        store_some(p, v, n);
}

// Asks the second cache for what a pass over a long run loads soon. The processor foresees a run by
// itself, but falls behind where there is some arithmetic between the loads; where there is much,
// it has to be asked as long before as the memory takes.
constexpr std::uintptr_t soon = 1024, later = 4096, far = 8192;  // bytes
template <std::uintptr_t ahead = soon>
[[gnu::always_inline]] inline void ask_ahead(const void* p) {
    __builtin_prefetch(reinterpret_cast<const void*>(reinterpret_cast<std::uintptr_t>(p) + ahead),
                       0, 2);
}
template <std::uintptr_t ahead = soon, class T>
[[gnu::always_inline]] inline Vec load_ahead(const T* p, std::int64_t n) {
    ask_ahead<ahead>(p);
    return load_some(p, n);
}

// Calls body(i, n) for every vector of a run; n < lanes for the last one only. In the loop over
// whole vectors n is a constant, so load_some and store_some become plain loads and stores.
template <class Body>
[[gnu::always_inline]] inline void for_each_vector(std::int64_t count, Body body) {
    std::int64_t i = 0;
    for (; i + lanes <= count; i += lanes) body(i, lanes);
    if (i < count) body(i, static_cast<int>(count - i));
}

[[gnu::always_inline]] inline Vec max(Vec a, Vec b) { return a > b ? a : b; }
[[gnu::always_inline]] inline Vec min(Vec a, Vec b) { return a < b ? a : b; }
[[gnu::always_inline]] inline Vec abs(Vec a) { return (Vec)((IntVec)a & 0x7FFFFFFF); }

[[gnu::always_inline]] inline Vec select(IntVec condition, Vec yes, Vec no) {
    return condition ? yes : no;
}

// Sum of the lanes in a fixed tree: halves are added until one lane is left.
[[gnu::always_inline]] inline float sum(Vec v) {
    for (int half = lanes / 2; half > 0; half /= 2)
        for (int i = 0; i < half; ++i) v[i] += v[i + half];
    return v[0];
}

}  // namespace
}  // namespace voxelgrad::VOXELGRAD_ISA

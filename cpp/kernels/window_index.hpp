// Places in pooling windows, a vector of them as bytes or integers in memory, and maxima that know
// their place; for *.isa.cpp files.
#pragma once

#include "core/window_tap.hpp"
#include "kernels/simd.hpp"

namespace voxelgrad::VOXELGRAD_ISA {
namespace {

[[gnu::always_inline]] inline void store_index(std::int32_t* p, IntVec v) {
    std::memcpy(p, &v, sizeof v);
}
[[gnu::always_inline]] inline IntVec load_index(const std::int32_t* p) {
    IntVec v;
    std::memcpy(&v, p, sizeof v);
    return v;
}
// Past the cache; p is aligned to the vector.
[[gnu::always_inline]] inline void stream_index(std::int32_t* p, IntVec v) {
    stream(reinterpret_cast<float*>(p), (Vec)v);
}

// Bytes are widened and narrowed by intrinsics: the compiler's own conversion goes byte by byte.
#if defined(__AVX512F__)
[[gnu::always_inline]] inline __m128i to_bytes(IntVec v) {
    return _mm512_maskz_cvtepi32_epi8(0xFFFF, (__m512i)v);
}
[[gnu::always_inline]] inline void store_index(std::uint8_t* p, IntVec v) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), to_bytes(v));
}
[[gnu::always_inline]] inline void stream_index(std::uint8_t* p, IntVec v) {
    _mm_stream_si128(reinterpret_cast<__m128i*>(p), to_bytes(v));
}
[[gnu::always_inline]] inline IntVec load_index(const std::uint8_t* p) {
    return (IntVec)_mm512_maskz_cvtepu8_epi32(0xFFFF,
                                              _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
#elif defined(__AVX2__)
[[gnu::always_inline]] inline __m128i to_bytes(IntVec v) {
    const __m256i words = _mm256_packus_epi32((__m256i)v, (__m256i)v);
    const __m256i halves = _mm256_permute4x64_epi64(words, 0b1000);
    const __m128i low = _mm256_castsi256_si128(halves);
    return _mm_packus_epi16(low, low);
}
[[gnu::always_inline]] inline void store_index(std::uint8_t* p, IntVec v) {
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), to_bytes(v));
}
[[gnu::always_inline]] inline void stream_index(std::uint8_t* p, IntVec v) {
    _mm_stream_si64(reinterpret_cast<long long*>(p), _mm_cvtsi128_si64(to_bytes(v)));
}
[[gnu::always_inline]] inline IntVec load_index(const std::uint8_t* p) {
    return (IntVec)_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
}
#elif defined(__SSE2__)
[[gnu::always_inline]] inline int to_bytes(IntVec v) {
    const __m128i words = _mm_packs_epi32((__m128i)v, (__m128i)v);
    return _mm_cvtsi128_si32(_mm_packus_epi16(words, words));
}
[[gnu::always_inline]] inline void store_index(std::uint8_t* p, IntVec v) {
    const int bytes = to_bytes(v);
    std::memcpy(p, &bytes, sizeof bytes);
}
[[gnu::always_inline]] inline void stream_index(std::uint8_t* p, IntVec v) {
    _mm_stream_si32(reinterpret_cast<int*>(p), to_bytes(v));
}
[[gnu::always_inline]] inline IntVec load_index(const std::uint8_t* p) {
    int bytes;
    std::memcpy(&bytes, p, sizeof bytes);
    const __m128i words = _mm_unpacklo_epi8(_mm_cvtsi32_si128(bytes), _mm_setzero_si128());
    return (IntVec)_mm_unpacklo_epi16(words, _mm_setzero_si128());
}
#else
[[gnu::always_inline]] inline void store_index(std::uint8_t* p, IntVec v) {
    for (int lane = 0; lane < lanes; ++lane) p[lane] = static_cast<std::uint8_t>(v[lane]);
}
[[gnu::always_inline]] inline void stream_index(std::uint8_t* p, IntVec v) { store_index(p, v); }
[[gnu::always_inline]] inline IntVec load_index(const std::uint8_t* p) {
    return IntVec{p[0], p[1], p[2], p[3]};
}
#endif

// The first n lanes, as load_some and store_some.
template <class Index>
[[gnu::always_inline]] inline void store_some_indices(Index* p, IntVec v, int n) {
    if (n == lanes) return store_index(p, v);
#if defined(__AVX512VL__)
    const auto first = static_cast<__mmask16>((1u << n) - 1);
    if constexpr (sizeof(Index) == 1)
        _mm_mask_storeu_epi8(p, first, _mm512_maskz_cvtepi32_epi8(first, (__m512i)v));
    else
        _mm512_mask_storeu_epi32(p, first, (__m512i)v);
#else
    Index all[lanes];
    store_index(all, v);
    for (int lane = 0; lane < n; ++lane) p[lane] = all[lane];
#endif
}
template <class Index>
[[gnu::always_inline]] inline IntVec load_some_indices(const Index* p, int n) {
    if (n == lanes) return load_index(p);
#if defined(__AVX512VL__)
    const auto first = static_cast<__mmask16>((1u << n) - 1);
    if constexpr (sizeof(Index) == 1)
        return (IntVec)_mm512_maskz_cvtepu8_epi32(first, _mm_maskz_loadu_epi8(first, p));
    else
        return (IntVec)_mm512_maskz_loadu_epi32(first, p);
#else
    Index all[lanes] = {};
    for (int lane = 0; lane < n; ++lane) all[lane] = p[lane];
    return load_index(all);
#endif
}

// As put_some.
template <class Index>
[[gnu::always_inline]] inline void put_some_indices(Index* p, IntVec v, int n, bool past_cache) {
    if (past_cache && n == lanes)
        stream_index(p, v);
    else
        store_some_indices(p, v, n);
}

[[gnu::always_inline]] inline bool has_nan(Vec v) {
#if defined(__AVX512F__)
    return _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q) != 0;
#elif defined(__AVX2__)
    return _mm256_movemask_ps(_mm256_cmp_ps(v, v, _CMP_UNORD_Q)) != 0;
#elif defined(__SSE2__)
    return _mm_movemask_ps(_mm_cmpunord_ps(v, v)) != 0;
#else
    return (v != v)[0] | (v != v)[1] | (v != v)[2] | (v != v)[3];
#endif
}

// The greatest number so far and its place: the first NaN wins, else the first maximum.
struct Maximum {
    Vec best;
    IntVec place;
#if defined(__AVX512F__)
    __mmask16 open;  // lanes without a NaN so far; beside `best`, it lengthens no chain of steps

    [[gnu::always_inline]] static Maximum none(std::int32_t first_place) {
        return {splat(-__builtin_inff()), IntVec{} + first_place, 0xFFFF};
    }

    [[gnu::always_inline]] void consider(Vec x, std::int32_t tap) {
        const __mmask16 wins = _mm512_mask_cmp_ps_mask(open, x, best, _CMP_NLE_UQ);
        best = _mm512_mask_mov_ps(best, wins, x);
        place = (IntVec)_mm512_mask_set1_epi32((__m512i)place, wins, tap);
        open = _mm512_mask_cmp_ps_mask(open, x, x, _CMP_ORD_Q);
    }
#else

    [[gnu::always_inline]] static Maximum none(std::int32_t first_place) {
        return {splat(-__builtin_inff()), IntVec{} + first_place};
    }

    [[gnu::always_inline]] void consider(Vec x, std::int32_t tap) {
        // x is greater or NaN, and no NaN came before.
        const IntVec wins = ~(x <= best) & (best == best);
        best = wins ? x : best;
        place = wins ? IntVec{} + tap : place;
    }
#endif
};

// Of windows over max(x, 0): a maximum that is not positive has the place `no_place`, which is
// none.
template <bool rectify>
[[gnu::always_inline]] inline Vec rectified(Vec x) {
    return rectify ? (x < 0.0f ? Vec{} : x) : x;
}
template <bool rectify>
[[gnu::always_inline]] inline IntVec place_of(Vec best, IntVec place) {
    return rectify ? (best > 0.0f ? place : IntVec{} + no_place) : place;
}

}  // namespace
}  // namespace voxelgrad::VOXELGRAD_ISA

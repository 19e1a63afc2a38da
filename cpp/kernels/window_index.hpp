// Places in pooling windows, a vector of them as bytes or integers in memory, and maxima that know
// their place; for *.isa.cpp files.
#pragma once

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

// Bytes are widened and narrowed by intrinsics: the compiler's own conversion goes byte by byte.
[[gnu::always_inline]] inline void store_index(std::uint8_t* p, IntVec v) {
#if defined(__AVX512F__)
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_maskz_cvtepi32_epi8(0xFFFF, (__m512i)v));
#elif defined(__AVX2__)
    const __m256i words = _mm256_packus_epi32((__m256i)v, (__m256i)v);
    const __m256i halves = _mm256_permute4x64_epi64(words, 0b1000);
    const __m128i low = _mm256_castsi256_si128(halves);
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packus_epi16(low, low));
#elif defined(__SSE2__)
    const __m128i words = _mm_packs_epi32((__m128i)v, (__m128i)v);
    const int bytes = _mm_cvtsi128_si32(_mm_packus_epi16(words, words));
    std::memcpy(p, &bytes, sizeof bytes);
#else
    for (int lane = 0; lane < lanes; ++lane) p[lane] = static_cast<std::uint8_t>(v[lane]);
#endif
}
[[gnu::always_inline]] inline IntVec load_index(const std::uint8_t* p) {
#if defined(__AVX512F__)
    return (IntVec)_mm512_maskz_cvtepu8_epi32(0xFFFF,
                                              _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
#elif defined(__AVX2__)
    return (IntVec)_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
#elif defined(__SSE2__)
    int bytes;
    std::memcpy(&bytes, p, sizeof bytes);
    const __m128i words = _mm_unpacklo_epi8(_mm_cvtsi32_si128(bytes), _mm_setzero_si128());
    return (IntVec)_mm_unpacklo_epi16(words, _mm_setzero_si128());
#else
    return IntVec{p[0], p[1], p[2], p[3]};
#endif
}

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

}  // namespace
}  // namespace voxelgrad::VOXELGRAD_ISA

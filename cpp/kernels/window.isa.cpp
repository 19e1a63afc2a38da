#include "kernels/window.hpp"

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

[[gnu::always_inline]] inline void put(const WindowRow& row, float* p, Vec v) {
    if (row.past_cache)
        stream(p, v);
    else
        store(p, v);
}

// Calls body(offset, place, weight) for every tap of a column's window.
template <class Body>
[[gnu::always_inline]] inline void for_taps(const WindowRow& row, std::int64_t column,
                                            Body&& body) {
    const WindowTap* const first = row.taps + row.start[column];
    const WindowTap* const last = row.taps + row.start[column + 1];
    for (const WindowTap* outer = row.outer; outer < row.outer + row.outer_count; ++outer)
        for (const WindowTap* tap = first; tap < last; ++tap)
            body(outer->offset + tap->offset, outer->place + tap->place,
                 outer->weight * tap->weight);
}

// Calls body.block<vectors>(column, channel) until whole vectors are used up, then
// body.channel(column, channel) for each that is left.
template <class Body>
[[gnu::always_inline]] inline void for_channels(const WindowRow& row, Body&& body) {
    constexpr int vectors = 4;
    for (std::int64_t column = row.begin; column < row.end; ++column) {
        std::int64_t c = 0;
        for (; c + vectors * lanes <= row.channels; c += vectors * lanes)
            body.template block<vectors>(column, c);
        for (; c + lanes <= row.channels; c += lanes) body.template block<1>(column, c);
        for (; c < row.channels; ++c) body.channel(column, c);
    }
    if (row.past_cache) stream_fence();
}

std::int32_t first_place(const WindowRow& row, std::int64_t column) {
    return row.outer[0].place + row.taps[row.start[column]].place;
}

template <class Index>
struct MaxForward {
    const WindowRow& row;
    const float* source;
    float* target;
    Index* indices;

    template <int vectors>
    [[gnu::always_inline]] inline void block(std::int64_t column, std::int64_t c) const {
        Vec best[vectors];
        IntVec place[vectors];
        for (int v = 0; v < vectors; ++v) {
            best[v] = splat(-__builtin_inff());
            place[v] = IntVec{} + first_place(row, column);
        }
        for_taps(row, column, [&](std::int64_t offset, std::int32_t tap, float) {
            for (int v = 0; v < vectors; ++v) {
                const Vec x = load(source + offset + c + v * lanes);
                // x is greater or NaN, and no NaN came before.
                const IntVec wins = ~(x <= best[v]) & (best[v] == best[v]);
                best[v] = wins ? x : best[v];
                place[v] = wins ? IntVec{} + tap : place[v];
            }
        });
        const std::int64_t at = column * row.channels + c;
        for (int v = 0; v < vectors; ++v) {
            put(row, target + at + v * lanes, best[v]);
            store_index(indices + at + v * lanes, place[v]);
        }
    }

    void channel(std::int64_t column, std::int64_t c) const {
        float best = -__builtin_inff();
        std::int32_t place = first_place(row, column);
        for_taps(row, column, [&](std::int64_t offset, std::int32_t tap, float) {
            const float x = source[offset + c];
            const bool wins = !(x <= best) && best == best;
            best = wins ? x : best;
            place = wins ? tap : place;
        });
        target[column * row.channels + c] = best;
        indices[column * row.channels + c] = static_cast<Index>(place);
    }
};

template <class Index>
struct MaxBackward {
    const WindowRow& row;
    const float* source;
    const Index* indices;
    float* target;

    template <int vectors>
    [[gnu::always_inline]] inline void block(std::int64_t column, std::int64_t c) const {
        Vec total[vectors] = {};
        for_taps(row, column, [&](std::int64_t offset, std::int32_t tap, float) {
            for (int v = 0; v < vectors; ++v) {
                const std::int64_t at = offset + c + v * lanes;
                const IntVec chosen = load_index(indices + at) == IntVec{} + tap;
                total[v] += (Vec)((IntVec)load(source + at) & chosen);
            }
        });
        for (int v = 0; v < vectors; ++v)
            put(row, target + column * row.channels + c + v * lanes, total[v]);
    }

    void channel(std::int64_t column, std::int64_t c) const {
        float total = 0.0f;
        for_taps(row, column, [&](std::int64_t offset, std::int32_t tap, float) {
            total += indices[offset + c] == tap ? source[offset + c] : 0.0f;
        });
        target[column * row.channels + c] = total;
    }
};

struct WeightedSum {
    const WindowRow& row;
    const float* source;
    float* target;

    template <int vectors>
    [[gnu::always_inline]] inline void block(std::int64_t column, std::int64_t c) const {
        Vec total[vectors] = {};
        for_taps(row, column, [&](std::int64_t offset, std::int32_t, float weight) {
            for (int v = 0; v < vectors; ++v)
                total[v] += load(source + offset + c + v * lanes) * weight;
        });
        for (int v = 0; v < vectors; ++v)
            put(row, target + column * row.channels + c + v * lanes, total[v]);
    }

    void channel(std::int64_t column, std::int64_t c) const {
        float total = 0.0f;
        for_taps(row, column, [&](std::int64_t offset, std::int32_t, float weight) {
            total += source[offset + c] * weight;
        });
        target[column * row.channels + c] = total;
    }
};

template <class Index>
void max_forward(const WindowRow& row, const float* source, float* target, Index* indices) {
    for_channels(row, MaxForward<Index>{row, source, target, indices});
}

template <class Index>
void max_backward(const WindowRow& row, const float* source, const Index* indices, float* target) {
    for_channels(row, MaxBackward<Index>{row, source, indices, target});
}

void weighted_sum(const WindowRow& row, const float* source, float* target) {
    for_channels(row, WeightedSum{row, source, target});
}

}  // namespace

extern const WindowKernels window = {
    {max_forward<std::uint8_t>, max_backward<std::uint8_t>},
    {max_forward<std::int32_t>, max_backward<std::int32_t>},
    weighted_sum,
};

}  // namespace voxelgrad::VOXELGRAD_ISA

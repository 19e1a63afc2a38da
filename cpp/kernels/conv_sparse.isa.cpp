#include "kernels/conv_sparse.hpp"

#include "kernels/simd.hpp"

namespace voxelgrad::VOXELGRAD_ISA {
namespace {

constexpr int half_lanes = 8;  // two such vectors are as fast as a whole one, and cross fewer lines
constexpr int most_rows = 7;   // of a window at once
constexpr int most_sums = lanes == 16 ? 20 : 12;  // in registers

template <int width>
struct Floats {
    typedef float Type __attribute__((vector_size(width * 4)));
    static Type at(const float* p) {
        Type v;
        std::memcpy(&v, p, sizeof v);
        return v;
    }
};

int width_for(std::int64_t row) {
    return lanes > half_lanes && row <= half_lanes ? half_lanes : lanes;
}

std::int64_t count(const float* numbers, std::int64_t all) {
    IntVec found{};
    for_each_vector(all, [&](std::int64_t i, int n) {
        found -= load_some(numbers + i, n) != Vec{};  // true is -1
    });
    std::int64_t total = 0;
    for (int lane = 0; lane < lanes; ++lane) total += found[lane];
    return total;
}

std::int64_t list(const float* numbers, const std::int32_t* places, std::int64_t count,
                  float* values, std::int32_t* listed_places) {
    std::int64_t n = 0;
#if defined(__AVX512F__)
    for_each_vector(count, [&](std::int64_t i, int some) {
        const Vec v = load_some(numbers + i, some);
        const __mmask16 some_place = _mm512_cmp_ps_mask(v, Vec{}, _CMP_NEQ_UQ);
        const __m512i place = _mm512_loadu_si512(places + i);
        store(values + n, _mm512_maskz_compress_ps(some_place, v));
        _mm512_storeu_si512(listed_places + n, _mm512_maskz_compress_epi32(some_place, place));
        n += __builtin_popcount(some_place);
    });
#else
    for (std::int64_t i = 0; i < count; ++i) {
        values[n] = numbers[i];
        listed_places[n] = places[i];
        n += numbers[i] != 0.0f;
    }
#endif
    return n;
}

// One row of pixels of a row of windows; `first`: of the windows' numbers.
[[gnu::always_inline]] inline std::int64_t list_line(const SparsePooled& p, std::int64_t first,
                                                     std::int32_t line, float* values,
                                                     std::int32_t* listed_places) {
    const std::int32_t first_index = line * p.window_columns, first_place = line * p.row_step;
    std::int64_t n = 0;
#if defined(__AVX512F__)
    for_each_vector(p.columns, [&](std::int64_t i, int some) {
        const Vec v = load_some(p.numbers + first + i, some);
        const __m512i column = _mm512_sub_epi32((__m512i)load_some(p.indices + first + i, some),
                                                _mm512_set1_epi32(first_index));
        const __mmask16 not_zero = _mm512_cmp_ps_mask(v, Vec{}, _CMP_NEQ_UQ);
        const __mmask16 here =
            _mm512_mask_cmplt_epu32_mask(not_zero, column, _mm512_set1_epi32(p.window_columns));
        const __m512i steps = _mm512_mullo_epi32(column, _mm512_set1_epi32(p.pixel_step));
        const __m512i place =
            _mm512_add_epi32(_mm512_loadu_si512(p.places + first + i),
                             _mm512_add_epi32(steps, _mm512_set1_epi32(first_place)));
        store(values + n, _mm512_maskz_compress_ps(here, v));
        _mm512_storeu_si512(listed_places + n, _mm512_maskz_compress_epi32(here, place));
        n += __builtin_popcount(here);
    });
#else
    for (std::int64_t i = first; i < first + p.columns; ++i) {
        std::int32_t index;
        std::memcpy(&index, p.indices + i, sizeof index);
        const std::int32_t column = index - first_index;
        values[n] = p.numbers[i];
        listed_places[n] = p.places[i] + first_place + column * p.pixel_step;
        n += p.numbers[i] != 0.0f && column >= 0 && column < p.window_columns;
    }
#endif
    return n;
}

std::int64_t list_pooled(const SparsePooled& windows, float* values, std::int32_t* listed_places) {
    const SparsePooled p = windows;  // a copy: nothing that is stored can change it
    std::int64_t n = 0;
    for (std::int64_t row = 0; row < p.rows; ++row)
        for (std::int32_t line = 0; line < p.window_rows; ++line)
            n += list_line(p, row * p.columns, line, values + n, listed_places + n);
    return n;
}

template <int width, int rows, int vectors>
void add(const SparseSum& s, std::int64_t first) {
    using V = Floats<width>;
    typename V::Type sums[rows][vectors];
    float* const totals = s.sums + first * vectors * width;
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) sums[r][v] = V::at(totals + (r * vectors + v) * width);
    const float* const image = s.image + first * s.window.row_step;
    for (std::int64_t i = 0; i < s.count; ++i) {
        const typename V::Type value = s.values[i] - typename V::Type{};
        const float* const window = image + s.places[i];
#pragma GCC unroll 8
        for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
            for (int v = 0; v < vectors; ++v)
                sums[r][v] += value * V::at(window + r * s.window.row_step + v * width);
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v)
            std::memcpy(totals + (r * vectors + v) * width, &sums[r][v], sizeof sums[r][v]);
}

// The channels, up to 32 from `first`, whose number is not zero.
[[gnu::always_inline]] inline std::uint32_t not_zero(const float* numbers, std::int64_t count) {
    std::uint32_t bits = 0;
#if defined(__AVX512F__)
    bits = _mm512_cmp_ps_mask(load_some(numbers, count), Vec{}, _CMP_NEQ_UQ);
    if (count > lanes)
        bits |= static_cast<std::uint32_t>(_mm512_cmp_ps_mask(
                    load_some(numbers + lanes, count - lanes), Vec{}, _CMP_NEQ_UQ))
                << lanes;
#else
    for (std::int64_t i = 0; i < 32 && i < count; ++i)
        bits |= static_cast<std::uint32_t>(numbers[i] != 0.0f) << i;
#endif
    return bits;
}

template <int width, int rows, int vectors>
void spread(const SparseSpread& s, std::int64_t first) {
    using V = Floats<width>;
    const std::int64_t weight_step = s.window.rows * vectors * width;
    float* window = s.image + first * s.window.row_step;
    const float* pixel = s.pixels;
    for (std::int64_t i = 0; i < s.count; ++i, pixel += s.channels, window += s.pixel_step) {
        typename V::Type sums[rows][vectors] = {};
        bool any = false;
        for (std::int64_t block = 0; block < s.channels; block += 32) {
            std::uint32_t bits = not_zero(pixel + block, s.channels - block);
            any |= bits != 0;
            for (; bits != 0; bits &= bits - 1) {
                const std::int64_t channel = block + __builtin_ctz(bits);
                const typename V::Type value = pixel[channel] - typename V::Type{};
                const float* const weight =
                    s.weight + channel * weight_step + first * vectors * width;
#pragma GCC unroll 8
                for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
                    for (int v = 0; v < vectors; ++v)
                        sums[r][v] += value * V::at(weight + (r * vectors + v) * width);
            }
        }
        if (!any) continue;
#pragma GCC unroll 8
        for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
            for (int v = 0; v < vectors; ++v) {
                float* const to = window + r * s.window.row_step + v * width;
                const typename V::Type sum = V::at(to) + sums[r][v];
                std::memcpy(to, &sum, sizeof sum);
            }
    }
}

// Calls run.operator()<width, rows, vectors>(first row) for the rows of a window, as many at once
// as have room.
template <int width, int rows, int vectors, class Run>
void run_rows(const SparseWindow& window, std::int64_t first, const Run& run) {
    if constexpr (rows > 1)
        if (window.rows - first < rows)
            return run_rows<width, rows - 1, vectors>(window, first, run);
    run.template operator()<width, rows, vectors>(first);
}

template <int width, int vectors = sparse_most_vectors, class Run>
void run_vectors(const SparseWindow& window, const Run& run) {
    if constexpr (vectors > 1)
        if (window.vectors < vectors) return run_vectors<width, vectors - 1>(window, run);
    constexpr int fit = most_sums / vectors, at_once = fit < most_rows ? fit : most_rows;
    for (std::int64_t first = 0; first < window.rows; first += at_once)
        run_rows<width, at_once, vectors>(window, first, run);
}

template <class Run>
void run_window(const SparseWindow& window, const Run& run) {
    if constexpr (lanes > half_lanes)
        if (window.width == half_lanes) return run_vectors<half_lanes>(window, run);
    run_vectors<lanes>(window, run);
}

void add_windows(const SparseSum& s) {
    run_window(s.window, [&]<int width, int rows, int vectors>(std::int64_t first) {
        add<width, rows, vectors>(s, first);
    });
}

void spread_windows(const SparseSpread& s) {
    run_window(s.window, [&]<int width, int rows, int vectors>(std::int64_t first) {
        spread<width, rows, vectors>(s, first);
    });
}

float total(const float* values, std::int64_t count) {
    Vec sums{};
    for_each_vector(count, [&](std::int64_t i, int n) { sums += load_some(values + i, n); });
    return sum(sums);
}

}  // namespace

extern const ConvSparseKernels conv_sparse = {width_for,   count,          list, list_pooled,
                                              add_windows, spread_windows, total};

}  // namespace voxelgrad::VOXELGRAD_ISA

#include "kernels/window.hpp"

#include "kernels/window_neighbours.hpp"
#include "kernels/window_pairs.hpp"

namespace voxelgrad::VOXELGRAD_ISA {
namespace {

// Calls body(offset, place, weight) for every tap of a column's window. one_row: the outer list has
// one entry.
template <bool one_row = false, class Body>
[[gnu::always_inline]] inline void for_taps(const WindowRow& row, std::int64_t column,
                                            Body&& body) {
    const WindowTap* const first = row.taps + row.start[column];
    const WindowTap* const last = row.taps + row.start[column + 1];
    if constexpr (one_row) {
        const WindowTap& outer = *row.outer;
        for (const WindowTap* tap = first; tap < last; ++tap)
            body(outer.offset + tap->offset, outer.place + tap->place, outer.weight * tap->weight);
        return;
    }
    for (const WindowTap* outer = row.outer; outer < row.outer + row.outer_count; ++outer)
        for (const WindowTap* tap = first; tap < last; ++tap)
            body(outer->offset + tap->offset, outer->place + tap->place,
                 outer->weight * tap->weight);
}

template <int vectors, class Body>
[[gnu::always_inline]] inline void for_whole_pixels(const WindowRow& row, const Body& body) {
    for (std::int64_t column = row.begin; column < row.end; ++column)
        body.template block<vectors>(column, 0, lanes);
}

// Calls body.block<vectors>(column, channel, n) for all channels; n < lanes for the last ones of a
// column only.
template <class Body>
[[gnu::always_inline]] inline void for_parts_of_pixels(const WindowRow& row, const Body& body) {
    for (std::int64_t column = row.begin; column < row.end; ++column) {
        std::int64_t c = 0;
        for (; c + 4 * lanes <= row.channels; c += 4 * lanes)
            body.template block<4>(column, c, lanes);
        for (; c + lanes <= row.channels; c += lanes) body.template block<1>(column, c, lanes);
        const int left = static_cast<int>(row.channels - c);
        if (left > 0) body.template block<1>(column, c, left);
    }
}

template <class Body>
[[gnu::always_inline]] inline void for_channels(WindowRow row, Body body) {
    if (row.channels == 4 * lanes)
        for_whole_pixels<4>(row, body);
    else if (row.channels == 2 * lanes)
        for_whole_pixels<2>(row, body);
    else
        for_parts_of_pixels(row, body);
    if (row.past_cache) stream_fence();
}

std::int32_t first_place(const WindowRow& row, std::int64_t column) {
    return row.outer[0].place + row.taps[row.start[column]].place;
}

template <class T, class Index, bool rectify>
struct MaxForward {
    WindowRow row;  // a copy: nothing that is stored can change it
    const T* source;
    T* target;
    Index* indices;
    bool indices_past_cache;

    template <int vectors>
    [[gnu::always_inline]] inline void block(std::int64_t column, std::int64_t c, int n) const {
        Maximum found[vectors];
        for (int v = 0; v < vectors; ++v) found[v] = Maximum::none(first_place(row, column));
        for_taps(row, column, [&](std::int64_t offset, std::int32_t tap, float) {
            for (int v = 0; v < vectors; ++v)
                found[v].consider(
                    rectified<rectify>(load_ahead<later>(source + offset + c + v * lanes, n)), tap);
        });
        const std::int64_t at = column * row.channels + c;
        for (int v = 0; v < vectors; ++v) {
            put_some(target + at + v * lanes, found[v].best, n, row.past_cache);
            put_some_indices(indices + at + v * lanes,
                             place_of<rectify>(found[v].best, found[v].place), n,
                             indices_past_cache);
        }
    }
};

template <class T, class Index, bool one_row>
struct MaxBackward {
    WindowRow row;
    const T* source;
    const Index* indices;
    T* target;

    template <int vectors>
    [[gnu::always_inline]] inline void block(std::int64_t column, std::int64_t c, int n) const {
        Vec total[vectors] = {};
        for_taps<one_row>(row, column, [&](std::int64_t offset, std::int32_t tap, float) {
            for (int v = 0; v < vectors; ++v) {
                const std::int64_t at = offset + c + v * lanes;
                const IntVec chosen = load_some_indices(indices + at, n) == IntVec{} + tap;
                total[v] += (Vec)((IntVec)load_ahead<later>(source + at, n) & chosen);
            }
        });
        for (int v = 0; v < vectors; ++v)
            put_some(target + column * row.channels + c + v * lanes, total[v], n, row.past_cache);
    }
};

template <class Source, class T, bool one_row>
struct WeightedSum {
    WindowRow row;
    const Source* source;
    T* target;

    template <int vectors>
    [[gnu::always_inline]] inline void block(std::int64_t column, std::int64_t c, int n) const {
        Vec total[vectors] = {};
        for_taps<one_row>(row, column, [&](std::int64_t offset, std::int32_t, float weight) {
            for (int v = 0; v < vectors; ++v)
                total[v] +=
                    load_ahead<one_row ? later : soon>(source + offset + c + v * lanes, n) * weight;
        });
        for (int v = 0; v < vectors; ++v)
            put_some(target + column * row.channels + c + v * lanes, total[v], n, row.past_cache);
    }
};

// sums[i] = the sum over the outer list of weight * source[span_begin + i].
template <class T>
void sum_outer(const WindowRow& row, const T* source, float* sums) {
    const T* const first = source + row.span_begin;
    for_each_vector(
        row.span_end - row.span_begin, [&](std::int64_t i, int n) __attribute__((always_inline)) {
            Vec total{};
            for (const WindowTap* tap = row.outer; tap < row.outer + row.outer_count; ++tap)
                total += load_ahead(first + tap->offset + i, n) * tap->weight;
            store_some(sums + i, total, n);
        });
}

template <int count, class T>
void sum_of_rows(const WeightedRow* rows, T* target, std::int64_t size, bool past_cache) {
    const float* data[count];
    float weights[count];
    for (int r = 0; r < count; ++r) {
        data[r] = rows[r].data;
        weights[r] = rows[r].weight;
    }
    for_each_vector(size, [&](std::int64_t i, int n) __attribute__((always_inline)) {
        Vec total = load_some(data[0] + i, n) * weights[0];
        for (int r = 1; r < count; ++r) total += load_some(data[r] + i, n) * weights[r];
        put_some(target + i, total, n, past_cache);
    });
}

template <class T>
void sum_of_many_rows(const WeightedRow* rows, int count, T* target, std::int64_t size,
                      bool past_cache) {
    for_each_vector(size, [&](std::int64_t i, int n) __attribute__((always_inline)) {
        Vec total{};
        for (int r = 0; r < count; ++r) total += load_some(rows[r].data + i, n) * rows[r].weight;
        put_some(target + i, total, n, past_cache);
    });
}

template <class T, class Index, bool rectify = false>
void max_forward(const WindowRow& row, const T* source, T* target, Index* indices) {
    if constexpr (!rectify && sizeof(Index) == 1)
        if (row.rectify) return max_forward<T, Index, true>(row, source, target, indices);
    const bool pairs = row.columns == WindowColumns::pairs;
    if (pairs && row.channels < lanes)
        return max_of_narrow_pairs<rectify>(row, source, target, indices);
    const bool aligned = reinterpret_cast<std::uintptr_t>(indices) % (lanes * sizeof(Index)) == 0;
    const bool indices_past_cache = row.past_cache && aligned;
    if (pairs)
        for_channels(row, PairsForward<T, Index, rectify>{row, source, target, indices,
                                                          indices_past_cache, PairPlaces(row)});
    else
        for_channels(
            row, MaxForward<T, Index, rectify>{row, source, target, indices, indices_past_cache});
}

template <class T, class Index>
void max_backward(const WindowRow& row, const T* source, const Index* indices, T* target) {
    if (row.columns == WindowColumns::halves && row.outer_count == 1 && !row.past_cache)
        max_to_halves(row, source, indices, target);
    else if (row.outer_count == 1)
        for_channels(row, MaxBackward<T, Index, true>{row, source, indices, target});
    else
        for_channels(row, MaxBackward<T, Index, false>{row, source, indices, target});
}

template <class T>
void weighted_sum(const WindowRow& row, const T* source, T* target) {
    if (takes_neighbours(row)) return sum_neighbours(row, source, target);
    if (row.outer_count == 1)
        return for_channels(row, WeightedSum<T, T, true>{row, source, target});
    if (row.span_begin == row.span_end)
        return for_channels(row, WeightedSum<T, T, false>{row, source, target});
    alignas(64) float sums[longest_span];
    sum_outer(row, source, sums);
    const WindowTap whole{-row.span_begin, 0, 1.0f};
    WindowRow summed = row;
    summed.outer = &whole;
    summed.outer_count = 1;
    for_channels(summed, WeightedSum<float, T, true>{summed, sums, target});
}

template <class T>
void sum_rows(const WeightedRow* rows, int count, T* target, std::int64_t size, bool past_cache) {
    switch (count) {
        case 1: sum_of_rows<1>(rows, target, size, past_cache); break;
        case 2: sum_of_rows<2>(rows, target, size, past_cache); break;
        case 3: sum_of_rows<3>(rows, target, size, past_cache); break;
        case 4: sum_of_rows<4>(rows, target, size, past_cache); break;
        default: sum_of_many_rows(rows, count, target, size, past_cache);
    }
    if (past_cache) stream_fence();
}

template <class T>
constexpr WindowKernels<T> table = {
    {max_forward<T, std::uint8_t>, max_backward<T, std::uint8_t>},
    {max_forward<T, std::int32_t>, max_backward<T, std::int32_t>},
    weighted_sum<T>,
    sum_successive<T>,
    sum_rows<T>,
};

}  // namespace

extern const WindowKernels<float> window_float = table<float>;
extern const WindowKernels<bf16> window_bf16 = table<bf16>;

}  // namespace voxelgrad::VOXELGRAD_ISA

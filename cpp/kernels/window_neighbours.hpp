// Weighted sums where columns beside each other share source columns: these are loaded once. For
// *.isa.cpp files.
#pragma once

#include "kernels/simd.hpp"
#include "kernels/window.hpp"

namespace voxelgrad::VOXELGRAD_ISA {
namespace {

// `vectors` of channels of a source column, summed over an outer list of `outer` entries.
template <int vectors, int outer, class T>
struct SourceColumn {
    static constexpr std::int64_t nowhere = -1;

    std::int64_t offset = nowhere;
    Vec sums[vectors] = {};

    [[gnu::always_inline]] void move_to(std::int64_t to, const T* const* rows, const float* weights,
                                        std::int64_t n) {
        if (offset == to) return;
        offset = to;
        for (int v = 0; v < vectors; ++v) {
            const std::int64_t at = to + v * lanes;
            sums[v] = load_some(rows[0] + at, n) * weights[0];
            for (int o = 1; o < outer; ++o) sums[v] += load_some(rows[o] + at, n) * weights[o];
            // The rows before the last one were read for the target row before.
            ask_ahead<far>(rows[outer - 1] + at);
        }
    }
};

template <int vectors, int outer, class T>
[[gnu::always_inline]] inline void neighbours_of_channels(const WindowRow& row, const T* source,
                                                          T* target, std::int64_t channel,
                                                          std::int64_t n) {
    const T* rows[outer];
    float weights[outer];
    for (int o = 0; o < outer; ++o) {
        rows[o] = source + row.outer[o].offset + channel;
        weights[o] = row.outer[o].weight;
    }
    SourceColumn<vectors, outer, T> low, high;
    for (std::int64_t column = row.begin; column < row.end; ++column) {
        const WindowTap* const taps = row.taps + row.start[column];
        const bool two = row.start[column + 1] - row.start[column] == 2;
        if (taps[0].offset == high.offset) low = high;
        low.move_to(taps[0].offset, rows, weights, n);
        T* const to = target + column * row.channels + channel;
        if (two) {
            high.move_to(taps[1].offset, rows, weights, n);
            for (int v = 0; v < vectors; ++v)
                put_some(
                    to + v * lanes,
                    multiply_add(low.sums[v], splat(taps[0].weight), high.sums[v] * taps[1].weight),
                    n, row.past_cache);
        } else {
            for (int v = 0; v < vectors; ++v)
                put_some(to + v * lanes, low.sums[v] * taps[0].weight, n, row.past_cache);
        }
    }
}

// Calls body.template operator()<vectors>(c, n): as many whole vectors of channels at a time as
// registers allow, then single ones, of n channels.
template <class Body>
[[gnu::always_inline]] inline void for_channel_blocks(std::int64_t channels, Body body) {
    std::int64_t c = 0;
    for (; c + 4 * lanes <= channels; c += 4 * lanes) body.template operator()<4>(c, lanes);
    if (c + 2 * lanes <= channels) {
        body.template operator()<2>(c, lanes);
        c += 2 * lanes;
    }
    if (c + lanes <= channels) {
        body.template operator()<1>(c, lanes);
        c += lanes;
    }
    if (c < channels) body.template operator()<1>(c, static_cast<int>(channels - c));
}

template <int outer, class T>
void sum_neighbours_of(const WindowRow& row, const T* source, T* target) {
    for_channel_blocks(row.channels, [&]<int vectors>(std::int64_t c, int n) {
        neighbours_of_channels<vectors, outer>(row, source, target, c, n);
    });
    if (row.past_cache) stream_fence();
}

// Whether sum_neighbours can do a row.
bool takes_neighbours(const WindowRow& row) {
    const int outer = row.outer_count;
    return row.columns == WindowColumns::neighbours && row.channels >= lanes &&
           (outer == 1 || outer == 2 || outer == 4);
}

template <class T>
void sum_neighbours(const WindowRow& row, const T* source, T* target) {
    if (row.outer_count == 1) return sum_neighbours_of<1>(row, source, target);
    if (row.outer_count == 2) return sum_neighbours_of<2>(row, source, target);
    sum_neighbours_of<4>(row, source, target);
}

// The other way round: columns take successive source columns, none of them more than two do.
template <int vectors, class T>
[[gnu::always_inline]] inline void successive_of_channels(const WindowRow& row, const T* source,
                                                          float* target, std::int64_t channel,
                                                          std::int64_t n) {
    Vec sum[vectors] = {};
    std::int64_t seen = 0;  // taps that went into the sum together with the column before
    for (std::int64_t column = row.begin; column < row.end; ++column) {
        const WindowTap* tap = row.taps + row.start[column] + seen;
        const WindowTap* const end = row.taps + row.start[column + 1];
        const WindowTap* shared = column + 1 < row.end ? end : nullptr;
        for (; tap < end && !(shared && tap->offset >= shared->offset); ++tap)
            for (int v = 0; v < vectors; ++v)
                sum[v] +=
                    load_ahead<far>(source + tap->offset + channel + v * lanes, n) * tap->weight;
        Vec next_sum[vectors] = {};
        for (seen = 0; tap < end; ++tap, ++shared, ++seen)
            for (int v = 0; v < vectors; ++v) {
                const Vec x = load_ahead<far>(source + tap->offset + channel + v * lanes, n);
                sum[v] += x * tap->weight;
                next_sum[v] += x * shared->weight;
            }
        for (int v = 0; v < vectors; ++v) {
            store_some(target + column * row.channels + channel + v * lanes, sum[v], n);
            sum[v] = next_sum[v];
        }
    }
}

template <class T>
void sum_successive(const WindowRow& row, const T* source, float* target) {
    for_channel_blocks(row.channels, [&]<int vectors>(std::int64_t c, int n) {
        successive_of_channels<vectors>(row, source, target, c, n);
    });
}

}  // namespace
}  // namespace voxelgrad::VOXELGRAD_ISA

// Maxima over windows of two columns that do not overlap, and back: no lists of taps for each
// column, and where there are few channels, several columns in one vector. For *.isa.cpp files.
#pragma once

#include "kernels/window.hpp"
#include "kernels/window_index.hpp"

namespace voxelgrad::VOXELGRAD_ISA {
namespace {

// The lanes of two vectors between runs of `channels` numbers, even and odd ones in turn, and a
// vector of each, for as many columns as fit into a vector whole; for each number of channels.
struct DealLanes {
    std::int32_t even[lanes][lanes] = {}, odd[lanes][lanes] = {};
    std::int32_t both[lanes][2 * lanes] = {};

    constexpr DealLanes() {
        for (int channels = 1; channels < lanes; ++channels)
            for (int i = 0; i < lanes / channels * channels; ++i) {
                const int first = i / channels * 2 * channels + i % channels;
                even[channels][i] = first;
                odd[channels][i] = first + channels;
                both[channels][first] = i;
                both[channels][first + channels] = i + lanes;
            }
    }
};

struct Deal {
    std::int64_t count;  // numbers of each vector
    IntVec even, odd, low, high;

    explicit Deal(std::int64_t channels) : count(lanes / channels * channels) {
        static constexpr DealLanes table;
        even = load_index(table.even[channels]);
        odd = load_index(table.odd[channels]);
        low = load_index(table.both[channels]);
        high = load_index(table.both[channels] + lanes);
    }
};

template <class T>
[[gnu::always_inline]] inline Vec load_up_to(const T* p, std::int64_t n) {
    return n > 0 ? load_some(p, n) : Vec{};
}

struct PairPlaces {
    std::int32_t first, second;

    explicit PairPlaces(const WindowRow& row)
        : first(row.taps[0].place), second(row.taps[1].place) {}
};

// Few channels: a vector of columns at a time.
template <bool rectify, class T, class Index>
void max_of_narrow_pairs(const WindowRow& row, const T* source, T* target, Index* indices) {
    const Deal deal(row.channels);
    const PairPlaces places(row);
    const std::int64_t end = row.end * row.channels;
    for (std::int64_t at = row.begin * row.channels; at < end; at += deal.count) {
        const std::int64_t left = end - at < deal.count ? end - at : deal.count;
        Maximum found = Maximum::none(row.outer[0].place + places.first);
        for (int o = 0; o < row.outer_count; ++o) {
            const T* const from = source + row.outer[o].offset + 2 * at;
            const Vec a = rectified<rectify>(load_up_to(from, 2 * left)),
                      b = rectified<rectify>(load_up_to(from + lanes, 2 * left - lanes));
            found.consider(__builtin_shuffle(a, b, deal.even), row.outer[o].place + places.first);
            found.consider(__builtin_shuffle(a, b, deal.odd), row.outer[o].place + places.second);
        }
        store_some(target + at, found.best, left);
        store_some_indices(indices + at, place_of<rectify>(found.best, found.place),
                           static_cast<int>(left));
    }
}

// A vector of channels or more. Two comparisons fewer for each pair than `Maximum` needs: NaNs,
// which a sum of all shows, are looked for only where there are some.
template <class T, class Index, bool rectify>
struct PairsForward {
    WindowRow row;  // a copy: nothing that is stored can change it
    const T* source;
    T* target;
    Index* indices;
    bool indices_past_cache;
    PairPlaces places;

    template <int vectors>
    [[gnu::always_inline]] inline void block(std::int64_t column, std::int64_t c, int n) const {
        const std::int64_t at = column * row.channels + c;
        const T* const from = source + at + column * row.channels;
        Vec best[vectors] = {}, sum{};
        IntVec place[vectors] = {};
        for (int o = 0; o < row.outer_count; ++o) {
            const T* const pair = from + row.outer[o].offset;
            const IntVec first = IntVec{} + (row.outer[o].place + places.first);
            const IntVec second = IntVec{} + (row.outer[o].place + places.second);
            for (int v = 0; v < vectors; ++v) {
                const Vec a = rectified<rectify>(load_ahead<later>(pair + v * lanes, n));
                const Vec b =
                    rectified<rectify>(load_ahead<later>(pair + row.channels + v * lanes, n));
                sum += a + b;
                const Vec greater = b > a ? b : a;
                const IntVec its_place = b > a ? second : first;
                const IntVec wins = o == 0 ? ~IntVec{} : (IntVec)(greater > best[v]);
                best[v] = wins ? greater : best[v];
                place[v] = wins ? its_place : place[v];
            }
        }
        if (has_nan(sum)) find_maxima<vectors>(from, n, best, place);
        for (int v = 0; v < vectors; ++v) {
            put_some(target + at + v * lanes, best[v], n, row.past_cache);
            put_some_indices(indices + at + v * lanes, place_of<rectify>(best[v], place[v]), n,
                             indices_past_cache);
        }
    }

    template <int vectors>
    [[gnu::noinline]] void find_maxima(const T* from, int n, Vec* best, IntVec* place) const {
        for (int v = 0; v < vectors; ++v) {
            Maximum found = Maximum::none(row.outer[0].place + places.first);
            for (int o = 0; o < row.outer_count; ++o) {
                const T* const pair = from + row.outer[o].offset + v * lanes;
                found.consider(rectified<rectify>(load_some(pair, n)),
                               row.outer[o].place + places.first);
                found.consider(rectified<rectify>(load_some(pair + row.channels, n)),
                               row.outer[o].place + places.second);
            }
            best[v] = found.best;
            place[v] = found.place;
        }
    }
};

// What the two columns of a window get of `n` gradients.
struct Halves {
    Vec first, second;

    template <class T, class Index>
    [[gnu::always_inline]] Halves(const WindowRow& row, const PairPlaces& places, const T* source,
                                  const Index* indices, std::int64_t at, int n) {
        const std::int64_t from = row.outer[0].offset + at;
        const IntVec value = (IntVec)load_some(source + from, n);
        const IntVec place = load_some_indices(indices + from, n) - row.outer[0].place;
        first = (Vec)(value & (place == IntVec{} + places.first));
        second = (Vec)(value & (place == IntVec{} + places.second));
    }
};

template <class T, class Index>
void max_to_narrow_halves(const WindowRow& row, const T* source, const Index* indices, T* target) {
    const Deal deal(row.channels);
    const PairPlaces places(row);
    const std::int64_t end = row.end / 2 * row.channels;
    for (std::int64_t at = row.begin / 2 * row.channels; at < end; at += deal.count) {
        const int left = static_cast<int>(end - at < deal.count ? end - at : deal.count);
        const Halves halves(row, places, source, indices, at, left);
        T* const to = target + 2 * at;
        store_some(to, __builtin_shuffle(halves.first, halves.second, deal.low), 2 * left);
        if (2 * left > lanes)
            store_some(to + lanes, __builtin_shuffle(halves.first, halves.second, deal.high),
                       2 * left - lanes);
    }
}

template <class T, class Index>
void max_to_halves(const WindowRow& row, const T* source, const Index* indices, T* target) {
    if (row.channels < lanes) return max_to_narrow_halves(row, source, indices, target);
    const PairPlaces places(row);
    for (std::int64_t column = row.begin; column < row.end; column += 2)
        for_each_vector(row.channels, [&](std::int64_t c, int n) {
            const Halves halves(row, places, source, indices, column / 2 * row.channels + c, n);
            T* const to = target + column * row.channels + c;
            store_some(to, halves.first, n);
            store_some(to + row.channels, halves.second, n);
        });
}

}  // namespace
}  // namespace voxelgrad::VOXELGRAD_ISA

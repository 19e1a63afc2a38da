#include "kernels/window.hpp"

#include "kernels/simd.hpp"

namespace voxelgrad::VOXELGRAD_ISA {
namespace {

typedef std::uint8_t ByteVec __attribute__((vector_size(lanes)));

[[gnu::always_inline]] inline void store_index(std::int32_t* p, IntVec v) {
    std::memcpy(p, &v, sizeof v);
}
[[gnu::always_inline]] inline void store_index(std::uint8_t* p, IntVec v) {
    const ByteVec bytes = __builtin_convertvector(v, ByteVec);
    std::memcpy(p, &bytes, sizeof bytes);
}
[[gnu::always_inline]] inline IntVec load_index(const std::int32_t* p) {
    IntVec v;
    std::memcpy(&v, p, sizeof v);
    return v;
}
[[gnu::always_inline]] inline IntVec load_index(const std::uint8_t* p) {
    ByteVec bytes;
    std::memcpy(&bytes, p, sizeof bytes);
    return __builtin_convertvector(bytes, IntVec);
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
            store(target + at + v * lanes, best[v]);
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
            store(target + column * row.channels + c + v * lanes, total[v]);
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
            store(target + column * row.channels + c + v * lanes, total[v]);
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

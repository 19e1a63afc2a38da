#include "kernels/tile.hpp"

#include "kernels/slope.hpp"
#include "kernels/turn.hpp"

namespace voxelgrad::VOXELGRAD_ISA {
namespace {

constexpr int pairs = tile_depth / 2;

#if defined(__AMX_BF16__)

// Tiles 0 to 3 hold the sums, 4 and 5 rows, 6 and 7 columns; all have 16 rows of 64 bytes.
struct alignas(64) TileConfiguration {
    std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
    std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

void begin() {
    static constexpr TileConfiguration configuration;
    _tile_loadconfig(&configuration);
}

void end() {
    stream_fence();
    _tile_release();
}

constexpr std::int64_t sums_stride = tile_columns * sizeof(float);

void multiply_block(const TileProduct& p) {
    float* const lower = p.sums + tile_half * tile_columns;
    if (p.add) {
        _tile_loadd(0, p.sums, sums_stride);
        _tile_loadd(1, p.sums + tile_half, sums_stride);
        _tile_loadd(2, lower, sums_stride);
        _tile_loadd(3, lower + tile_half, sums_stride);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
    const std::int64_t stride = p.row_stride * static_cast<std::int64_t>(sizeof(bf16));
    const bf16* columns = p.columns;
    for (std::int64_t s = 0; s < p.steps; ++s, columns += 2 * packed_tile) {
        const bf16* const rows = p.rows + p.step_offset[s];
        _tile_loadd(4, rows, stride);
        _tile_loadd(6, columns, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, columns + packed_tile, 64);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(5, rows + tile_half * p.row_stride, stride);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, p.sums, sums_stride);
    _tile_stored(1, p.sums + tile_half, sums_stride);
    _tile_stored(2, lower, sums_stride);
    _tile_stored(3, lower + tile_half, sums_stride);
}

void multiply_half_block(const TileProduct& p) {
    float* const lower = p.sums + tile_half * tile_columns;
    if (p.add) {
        _tile_loadd(0, p.sums, sums_stride);
        _tile_loadd(2, lower, sums_stride);
    } else {
        _tile_zero(0);
        _tile_zero(2);
    }
    const std::int64_t stride = p.row_stride * static_cast<std::int64_t>(sizeof(bf16));
    const bf16* columns = p.columns;
    for (std::int64_t s = 0; s < p.steps; ++s, columns += packed_tile) {
        const bf16* const rows = p.rows + p.step_offset[s];
        _tile_loadd(4, rows, stride);
        _tile_loadd(6, columns, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(5, rows + tile_half * p.row_stride, stride);
        _tile_dpbf16ps(2, 5, 6);
    }
    _tile_stored(0, p.sums, sums_stride);
    _tile_stored(2, lower, sums_stride);
}

void multiply(const TileProduct& p) { p.halves == 2 ? multiply_block(p) : multiply_half_block(p); }

#else

void begin() {}
void end() { stream_fence(); }

constexpr int half_vectors = tile_half / lanes;

// Sums of products of pairs. The pair of a row is the same in all lanes.
#if defined(__AVX512BF16__)
struct Pairs {
    __m512bh both;
    Pairs() = default;
    explicit Pairs(BitVec bits) : both((__m512bh)bits) {}
};
[[gnu::always_inline]] inline Vec add_products(Vec sum, const Pairs& row, const Pairs& column) {
    return _mm512_dpbf16_ps(sum, row.both, column.both);
}
#else
struct Pairs {
    Vec first, second;
    Pairs() = default;
    explicit Pairs(BitVec bits) : first((Vec)(bits << 16)), second((Vec)(bits & 0xFFFF0000u)) {}
};
[[gnu::always_inline]] inline Vec add_products(Vec sum, const Pairs& row, const Pairs& column) {
    return sum + row.first * column.first + row.second * column.second;
}
#endif

[[gnu::always_inline]] inline BitVec load_pairs(const bf16* p) {
    BitVec bits;
    std::memcpy(&bits, p, sizeof bits);
    return bits;
}

[[gnu::always_inline]] inline BitVec splat_pair(const bf16* p) {
    std::uint32_t bits;
    std::memcpy(&bits, p, sizeof bits);
    return BitVec{} + bits;
}

// `rows` rows times `vectors` vectors of columns, from those that are first. Every pair of a row
// that is spread to all lanes serves as many products as there are vectors: one for each would keep
// the processor busier with reading than with multiplying.
template <int rows, int vectors>
void multiply_part(const TileProduct& p, int first_row, int first_vector) {
    Vec sums[rows][vectors];
    const bf16* columns[vectors];
    float* const result = p.sums + first_row * tile_columns + first_vector * lanes;
    for (int v = 0; v < vectors; ++v) {
        const int half = (first_vector + v) / half_vectors;
        columns[v] = p.columns + half * packed_tile + (first_vector + v) % half_vectors * 2 * lanes;
    }
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r)
        for (int v = 0; v < vectors; ++v)
            sums[r][v] = p.add ? load(result + r * tile_columns + v * lanes) : Vec{};
    for (std::int64_t s = 0; s < p.steps; ++s) {
        const bf16* row = p.rows + p.step_offset[s] + first_row * p.row_stride;
        for (int pair = 0; pair < pairs; ++pair, row += 2) {
            const std::int64_t at = s * p.halves * packed_tile + pair * 2 * tile_half;
            Pairs column[vectors];
            for (int v = 0; v < vectors; ++v) column[v] = Pairs(load_pairs(columns[v] + at));
#pragma GCC unroll 16
            for (int r = 0; r < rows; ++r) {
                const Pairs both(splat_pair(row + r * p.row_stride));
                for (int v = 0; v < vectors; ++v)
                    sums[r][v] = add_products(sums[r][v], both, column[v]);
            }
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r)
        for (int v = 0; v < vectors; ++v) store(result + r * tile_columns + v * lanes, sums[r][v]);
}

// All columns, part by part, of the rows that are wanted.
template <int rows, int vectors>
void multiply_parts(const TileProduct& p) {
    for (int row = 0; row < p.wanted; row += rows)
        for (int vector = 0; vector < p.halves * half_vectors; vector += vectors)
            multiply_part<rows, vectors>(p, row, vector);
}

void multiply(const TileProduct& p) {
    if constexpr (lanes == 16)
        p.halves == 2 ? multiply_parts<8, 2>(p) : multiply_parts<16, 1>(p);
    else
        multiply_parts<lanes == 8 ? 4 : 2, half_vectors>(p);
}

#endif

[[gnu::always_inline]] inline ShortVec bits_of(const float* p, int n) {
    return narrow(load_some(p, n));
}
[[gnu::always_inline]] inline ShortVec bits_of(const bf16* p, int n) {
    ShortVec bits{};
    std::memcpy(&bits, p, static_cast<std::size_t>(n < lanes ? n : lanes) * sizeof(bf16));
    return bits;
}

// Pairs of a depth of 32 that are neighbours in memory, 16 columns of them -> a packed tile.
void turn_pairs(const bf16* columns, bf16* packed, std::int64_t packed_stride) {
    const auto* from = reinterpret_cast<const float*>(columns);
    auto* to = reinterpret_cast<float*>(packed);
    for (int c = 0; c < tile_half; c += lanes)
        for (int p = 0; p < pairs; p += lanes)
            turn_square(from + c * pairs + p, pairs, to + p * packed_stride + c, packed_stride);
}

void pack_along(const float* values, std::int64_t stride, int depth, int columns, bf16* packed) {
    alignas(64) bf16 narrowed[tile_half * tile_depth] = {};
    for (int c = 0; c < columns; ++c)
        for (int d = 0; d < depth; d += lanes)
            store_some(narrowed + c * tile_depth + d, load_some(values + c * stride + d, depth - d),
                       depth - d);
    turn_pairs(narrowed, packed, tile_half);
}

// Column by column the pairs of two rows of values.
[[gnu::always_inline]] inline void store_pairs(bf16* out, ShortVec first, ShortVec second) {
    const BitVec both =
        __builtin_convertvector(first, BitVec) | __builtin_convertvector(second, BitVec) << 16;
    std::memcpy(out, &both, sizeof both);
}

template <class T>
void pack_whole(const T* values, std::int64_t stride, bf16* packed) {
    for (int pair = 0; pair < pairs; ++pair, values += 2 * stride)
        for (int c = 0; c < tile_half; c += lanes, packed += 2 * lanes)
            store_pairs(packed, bits_of(values + c, lanes), bits_of(values + stride + c, lanes));
}

template <class T>
void pack_rows(const T* values, std::int64_t stride, int depth, int columns, bf16* packed) {
    if (depth == tile_depth && columns == tile_half) return pack_whole(values, stride, packed);
    for (int pair = 0; pair < pairs; ++pair) {
        const T* const first = values + 2 * pair * stride;
        for (int c = 0; c < tile_half; c += lanes) {
            const int left = columns - c;
            ShortVec one{}, other{};
            if (left > 0 && 2 * pair < depth) one = bits_of(first + c, left);
            if (left > 0 && 2 * pair + 1 < depth) other = bits_of(first + stride + c, left);
            store_pairs(packed + 2 * (pair * tile_half + c), one, other);
        }
    }
}

#if defined(__AVX512BW__)
// The pairs of 16 channels, four of every eight from `first` on: `pairs_of(even, odd)` of the
// pixels.
template <class PairsOf>
[[gnu::always_inline]] inline void turn_fours(const bf16* pixels, std::int64_t stride, bf16* rows,
                                              std::int64_t row_stride, int first,
                                              PairsOf pairs_of) {
    Vec v[lanes];
#pragma GCC unroll 16
    for (int p = 0; p < pairs; ++p, pixels += 2 * stride)
        v[p] = (Vec)pairs_of(_mm512_loadu_si512(pixels), _mm512_loadu_si512(pixels + stride));
    transpose_square(v);
#pragma GCC unroll 16
    for (int i = 0; i < lanes; ++i)
        std::memcpy(rows + (i / 4 * 8 + first + i % 4) * row_stride, &v[i], sizeof v[i]);
}

// Two 16-bit numbers of every four of a quarter of a vector are interleaved at a time; which
// channels these are only decides which row they become.
void turn(const bf16* pixels, std::int64_t stride, bf16* rows, std::int64_t row_stride) {
    turn_fours(pixels, stride, rows, row_stride, 0,
               [](__m512i even, __m512i odd) { return _mm512_unpacklo_epi16(even, odd); });
    turn_fours(pixels, stride, rows, row_stride, 4,
               [](__m512i even, __m512i odd) { return _mm512_unpackhi_epi16(even, odd); });
}
#else
void turn(const bf16* pixels, std::int64_t stride, bf16* rows, std::int64_t row_stride) {
    alignas(64) bf16 tile[packed_tile];
    for (int c = 0; c < tile_depth; c += tile_half) {
        pack_whole(pixels + c, stride, tile);
        turn_pairs(tile, rows + c * row_stride, row_stride / 2);
    }
}
#endif

void copy(const bf16* source, std::int64_t source_stride, bf16* pixels, std::int64_t width,
          std::int64_t count, int channels, const bf16* ahead) {
    if (channels == width && source_stride == width && width < tile_depth) {
        std::memcpy(pixels, source, static_cast<std::size_t>(count * width) * sizeof(bf16));
        return;
    }
    for (std::int64_t i = 0; i < count;
         ++i, source += source_stride, pixels += width, ahead += source_stride) {
        if (channels == tile_depth) {  // a constant size is no call
            __builtin_prefetch(ahead, 0, 2);
            std::memcpy(pixels, source, tile_depth * sizeof(bf16));
            continue;
        }
        std::memcpy(pixels, source, static_cast<std::size_t>(channels) * sizeof(bf16));
        for (std::int64_t c = channels; c < width; ++c) pixels[c] = bf16{0};
    }
}

template <bool past_cache, class Activation>
void finish_whole(Activation activation, const float* sums, const float* bias, bf16* output,
                  std::int64_t output_stride, std::int64_t count) {
    constexpr int vectors = tile_columns / lanes;
    Vec start[vectors];
    for (int v = 0; v < vectors; ++v) start[v] = load(bias + v * lanes);
    for (std::int64_t i = 0; i < count; ++i, sums += tile_columns, output += output_stride)
        for (int v = 0; v < vectors; ++v) {
            const Vec value = activation(load(sums + v * lanes) + start[v]);
            past_cache ? stream(output + v * lanes, value) : store(output + v * lanes, value);
        }
}

template <class Activation>
void finish_with(Activation activation, const float* sums, const float* bias, bf16* output,
                 std::int64_t output_stride, std::int64_t count, int channels, bool past_cache) {
    if (channels == tile_columns && past_cache)
        return finish_whole<true>(activation, sums, bias, output, output_stride, count);
    if (channels == tile_columns)
        return finish_whole<false>(activation, sums, bias, output, output_stride, count);
    for (std::int64_t i = 0; i < count; ++i, sums += tile_columns, output += output_stride)
        for (int c = 0; c < channels; c += lanes)
            store_some(output + c, activation(load(sums + c) + load(bias + c)), channels - c);
}

void finish(const float* sums, const float* bias, bf16* output, std::int64_t output_stride,
            std::int64_t count, int channels, float slope, bool past_cache) {
    if (slope == 1.0f)
        finish_with([](Vec v) { return v; }, sums, bias, output, output_stride, count, channels,
                    past_cache);
    else
        finish_with(Slope(slope), sums, bias, output, output_stride, count, channels, past_cache);
}

}  // namespace

extern const TileKernels tile = {begin,           end,  multiply, pack_along, pack_rows<float>,
                                 pack_rows<bf16>, turn, copy,     finish};

}  // namespace voxelgrad::VOXELGRAD_ISA

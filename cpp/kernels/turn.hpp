// Turning rows of class scores into columns and back in registers, for *.isa.cpp files: `lanes`
// rows (row after row) <-> one vector a class, vectors `pitch` floats apart.
#pragma once

#include "kernels/simd.hpp"

namespace voxelgrad::VOXELGRAD_ISA {
namespace {

[[gnu::always_inline]] inline std::int64_t least(std::int64_t a, std::int64_t b) {
    return a < b ? a : b;
}

// Where the elements of `lanes` rows of `classes` scores go. Element e of the rows, e = row *
// classes + class, lies in vector e / lanes, lane e % lanes; in the tile in vector class, lane row.
template <int classes>
struct Turn {
    int column_lane[classes][lanes] = {}, column_vector[classes][lanes] = {};
    int row_lane[classes][lanes] = {}, row_vector[classes][lanes] = {};

    constexpr Turn() {
        for (int e = 0; e < classes * lanes; ++e) {
            const int row = e / classes, k = e % classes;
            column_vector[k][row] = e / lanes;
            column_lane[k][row] = e % lanes;
            row_vector[e / lanes][e % lanes] = k;
            row_lane[e / lanes][e % lanes] = row;
        }
    }
};

[[gnu::always_inline]] inline IntVec load_int(const int* p) {
    IntVec v;
    std::memcpy(&v, p, sizeof v);
    return v;
}

// Lane i of the result is lane[i] of sources[vector[i]].
template <int count>
[[gnu::always_inline]] inline Vec collect(const Vec (&sources)[count], const int* lane,
                                          const int* vector) {
    const IntVec from_lane = load_int(lane), from_vector = load_int(vector);
    Vec result = __builtin_shuffle(sources[0], from_lane);
#pragma GCC unroll 8
    for (int s = 1; s < count; ++s)
        result = from_vector == s ? __builtin_shuffle(sources[s], from_lane) : result;
    return result;
}

template <int classes>
void turn_to_columns(const float* rows, float* tile, std::int64_t pitch) {
    static constexpr Turn<classes> turn;
    Vec source[classes];
#pragma GCC unroll 8
    for (int v = 0; v < classes; ++v) source[v] = load(rows + v * lanes);
#pragma GCC unroll 8
    for (int k = 0; k < classes; ++k)
        store(tile + k * pitch, collect(source, turn.column_lane[k], turn.column_vector[k]));
}

template <int classes>
void turn_to_rows(const float* tile, std::int64_t pitch, float* rows) {
    static constexpr Turn<classes> turn;
    Vec source[classes];
#pragma GCC unroll 8
    for (int k = 0; k < classes; ++k) source[k] = load(tile + k * pitch);
#pragma GCC unroll 8
    for (int v = 0; v < classes; ++v)
        store(rows + v * lanes, collect(source, turn.row_lane[v], turn.row_vector[v]));
}

// Four lanes have no permutation whose indices are data before SSSE3.
[[gnu::always_inline]] inline bool turns_in_registers(std::int64_t classes) {
    return lanes > 4 && classes >= 2 && classes <= 8;
}

// Lanes of two vectors in turn: those of their lower halves, those of their upper halves.
struct Zip {
    IntVec low, high;

    [[gnu::always_inline]] Zip() {
        for (int lane = 0; lane < lanes; ++lane) {
            low[lane] = lane / 2 + lane % 2 * lanes;
            high[lane] = low[lane] + lanes / 2;
        }
    }
};

// Transposes lanes x lanes numbers: in each round vector i meets vector i + lanes / 2 and their
// lanes are interleaved, which turns the bits of (vector, lane) by one place.
[[gnu::always_inline]] inline void transpose_square(Vec (&v)[lanes]) {
    const Zip zip;
#pragma GCC unroll 4
    for (int round = 1; round < lanes; round *= 2) {
        Vec next[lanes];
#pragma GCC unroll 8
        for (int i = 0; i < lanes / 2; ++i) {
            next[2 * i] = __builtin_shuffle(v[i], v[i + lanes / 2], zip.low);
            next[2 * i + 1] = __builtin_shuffle(v[i], v[i + lanes / 2], zip.high);
        }
#pragma GCC unroll 16
        for (int i = 0; i < lanes; ++i) v[i] = next[i];
    }
}

// Lane i of the result is the sum of the lanes of v[i], in the tree of `sum`.
[[gnu::always_inline]] inline Vec sum_rows(Vec (&v)[lanes]) {
    const Zip zip;
#pragma GCC unroll 4
    for (int half = lanes / 2; half > 0; half /= 2)
#pragma GCC unroll 8
        for (int i = 0; i < half; ++i)
            v[i] = __builtin_shuffle(v[i], v[i + half], zip.low) +
                   __builtin_shuffle(v[i], v[i + half], zip.high);
    return v[0];
}

// Writes the transpose of the lanes x lanes numbers at `from` (rows from_pitch apart) to `to`.
inline void turn_square(const float* from, std::int64_t from_pitch, float* to,
                        std::int64_t to_pitch) {
    Vec v[lanes];
#pragma GCC unroll 16
    for (int i = 0; i < lanes; ++i) v[i] = load(from + i * from_pitch);
    transpose_square(v);
#pragma GCC unroll 16
    for (int i = 0; i < lanes; ++i) store(to + i * to_pitch, v[i]);
}

[[gnu::always_inline]] inline void turn_to_columns(int classes, const float* rows, float* tile,
                                                   std::int64_t pitch) {
    switch (classes) {
        case 2: return turn_to_columns<2>(rows, tile, pitch);
        case 3: return turn_to_columns<3>(rows, tile, pitch);
        case 4: return turn_to_columns<4>(rows, tile, pitch);
        case 5: return turn_to_columns<5>(rows, tile, pitch);
        case 6: return turn_to_columns<6>(rows, tile, pitch);
        case 7: return turn_to_columns<7>(rows, tile, pitch);
        default: return turn_to_columns<8>(rows, tile, pitch);
    }
}

[[gnu::always_inline]] inline void turn_to_rows(int classes, const float* tile, std::int64_t pitch,
                                                float* rows) {
    switch (classes) {
        case 2: return turn_to_rows<2>(tile, pitch, rows);
        case 3: return turn_to_rows<3>(tile, pitch, rows);
        case 4: return turn_to_rows<4>(tile, pitch, rows);
        case 5: return turn_to_rows<5>(tile, pitch, rows);
        case 6: return turn_to_rows<6>(tile, pitch, rows);
        case 7: return turn_to_rows<7>(tile, pitch, rows);
        default: return turn_to_rows<8>(tile, pitch, rows);
    }
}

// `lanes` rows -> tile, for at least `lanes` classes; the last square may overlap the one before.
inline void turn_many_to_columns(std::int64_t classes, const float* rows, float* tile,
                                 std::int64_t pitch) {
    for (std::int64_t k = 0; k < classes; k += lanes) {
        const std::int64_t at = least(k, classes - lanes);
        turn_square(rows + at, classes, tile + at * pitch, pitch);
    }
}

inline void turn_many_to_rows(std::int64_t classes, const float* tile, std::int64_t pitch,
                              float* rows) {
    for (std::int64_t k = 0; k < classes; k += lanes) {
        const std::int64_t at = least(k, classes - lanes);
        turn_square(tile + at * pitch, pitch, rows + at, classes);
    }
}

}  // namespace
}  // namespace voxelgrad::VOXELGRAD_ISA

// Tiles of class scores for *.isa.cpp files: turning rows into columns and back, and what losses
// need of each column. A tile has the scores of class k at tile + k * pitch, one row a lane.
#pragma once

#include "kernels/class_rows.hpp"
#include "kernels/math.hpp"

namespace voxelgrad::VOXELGRAD_ISA {
namespace {

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

// (count, classes) -> tile. Lanes beyond the last row, up to whole vectors, become zero.
inline void load_tile(const float* input, std::int64_t count, std::int64_t classes, float* tile) {
    const std::int64_t pitch = tile_rows(classes);
    std::int64_t row = 0;
    if (turns_in_registers(classes))
        for (; row + lanes <= count; row += lanes)
            turn_to_columns(static_cast<int>(classes), input + row * classes, tile + row, pitch);
    for (; row < count; ++row)
        for (std::int64_t k = 0; k < classes; ++k) tile[k * pitch + row] = input[row * classes + k];
    for (; row % lanes != 0; ++row)
        for (std::int64_t k = 0; k < classes; ++k) tile[k * pitch + row] = 0.0f;
}

// tile -> (count, classes)
inline void store_tile(const float* tile, std::int64_t count, std::int64_t classes, float* output) {
    const std::int64_t pitch = tile_rows(classes);
    std::int64_t row = 0;
    if (turns_in_registers(classes))
        for (; row + lanes <= count; row += lanes)
            turn_to_rows(static_cast<int>(classes), tile + row, pitch, output + row * classes);
    for (; row < count; ++row)
        for (std::int64_t k = 0; k < classes; ++k)
            output[row * classes + k] = tile[k * pitch + row];
}

// The largest score of each lane's row. A NaN may get lost here; it comes back with sum_of_exp.
[[gnu::always_inline]] inline Vec largest(const float* column, std::int64_t classes,
                                          std::int64_t pitch) {
    Vec result = load(column);
    for (std::int64_t k = 1; k < classes; ++k) result = max(result, load(column + k * pitch));
    return result;
}

// Sum over the classes of exp(score - shift).
[[gnu::always_inline]] inline Vec sum_of_exp(const float* column, std::int64_t classes,
                                             std::int64_t pitch, Vec shift) {
    Vec result{};
    for (std::int64_t k = 0; k < classes; ++k) result += exp(load(column + k * pitch) - shift);
    return result;
}

// The labels of a tile's rows as int, -1 where a row does not count.
struct TileLabels {
    int label[max_tile_rows];

    TileLabels(const std::int64_t* labels, std::int64_t count, std::int64_t ignore_index) {
        for (std::int64_t row = 0; row < count; ++row)
            label[row] = labels[row] == ignore_index ? -1 : static_cast<int>(labels[row]);
        for (std::int64_t row = count; row % lanes != 0; ++row) label[row] = -1;
    }
    [[gnu::always_inline]] inline IntVec at(std::int64_t row) const {
        return load_int(label + row);
    }
};

// The score of each lane's own class, 0 where a row does not count.
[[gnu::always_inline]] inline Vec own_score(const float* column, std::int64_t classes,
                                            std::int64_t pitch, IntVec label) {
    Vec result{};
    for (std::int64_t k = 0; k < classes; ++k)
        result = label == static_cast<int>(k) ? load(column + k * pitch) : result;
    return result;
}

// The weight of each lane's own class (all 1 without class_weight), 0 where a row does not count.
[[gnu::always_inline]] inline Vec own_weight(const float* class_weight, std::int64_t classes,
                                             IntVec label) {
    Vec result = label >= 0 ? splat(1.0f) : splat(0.0f);
    if (class_weight == nullptr) return result;
    for (std::int64_t k = 0; k < classes; ++k)
        result = label == static_cast<int>(k) ? splat(class_weight[k]) : result;
    return result;
}

[[gnu::always_inline]] inline std::int64_t least(std::int64_t a, std::int64_t b) {
    return a < b ? a : b;
}

}  // namespace
}  // namespace voxelgrad::VOXELGRAD_ISA

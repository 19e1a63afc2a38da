// Tiles of class scores for *.isa.cpp files: filling and emptying them, and what losses need of
// each column. A tile has the scores of class k at tile + k * pitch, one row a lane.
#pragma once

#include "kernels/class_rows.hpp"
#include "kernels/math.hpp"
#include "kernels/turn.hpp"

namespace voxelgrad::VOXELGRAD_ISA {
namespace {

// (count, classes) -> tile. Lanes beyond the last row, up to whole vectors, become zero.
inline void load_tile(const float* input, std::int64_t count, std::int64_t classes, float* tile) {
    const std::int64_t pitch = tile_rows(classes);
    std::int64_t row = 0;
    if (turns_in_registers(classes))
        for (; row + lanes <= count; row += lanes)
            turn_to_columns(static_cast<int>(classes), input + row * classes, tile + row, pitch);
    else if (classes >= lanes)
        for (; row + lanes <= count; row += lanes)
            turn_many_to_columns(classes, input + row * classes, tile + row, pitch);
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
    else if (classes >= lanes)
        for (; row + lanes <= count; row += lanes)
            turn_many_to_rows(classes, tile + row, pitch, output + row * classes);
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

}  // namespace
}  // namespace voxelgrad::VOXELGRAD_ISA

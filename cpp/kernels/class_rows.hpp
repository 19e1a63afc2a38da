// Rows of class scores (rows, classes): kernels turn some rows at a time into a tile
// (classes, tile rows), so that vectors run over rows however few classes there are.
#pragma once

#include <cstdint>

namespace voxelgrad {

constexpr int max_tile_rows = 64;

// Rows of a tile; a multiple of every vector length. Tiles of many classes stay in L2.
constexpr int tile_rows(std::int64_t classes) { return classes <= 64 ? max_tile_rows : 16; }

// Floats that a kernel needs for one tile.
constexpr std::int64_t tile_size(std::int64_t classes) { return classes * tile_rows(classes); }

// Rows that one chunk of work holds: whole tiles, some 128 KiB.
constexpr std::int64_t rows_per_chunk(std::int64_t classes) {
    const std::int64_t tiles = (std::int64_t{1} << 15) / tile_size(classes);
    return (tiles > 1 ? tiles : 1) * tile_rows(classes);
}

}  // namespace voxelgrad

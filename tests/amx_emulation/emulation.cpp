#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "core/bf16.hpp"
#include "core/tile_registers.hpp"
#include "intrinsics.hpp"

namespace voxelgrad {

bool may_use_tile_registers() { return true; }

}  // namespace voxelgrad

namespace emulated_amx {
namespace {

constexpr int tile_count = 8, most_rows = 16, most_bytes = 64;

// Intel 64 and IA-32 Architectures Software Developer's Manual, LDTILECFG: 64 bytes.
struct Configuration {
    std::uint8_t palette, start_row, reserved[14];
    std::uint16_t row_bytes[16];
    std::uint8_t rows[16];
};
static_assert(sizeof(Configuration) == 64);

struct Tile {
    int rows = 0, row_bytes = 0;
    alignas(64) unsigned char data[most_rows][most_bytes];
};

struct Registers {
    bool configured = false;
    Tile tiles[tile_count];
};
thread_local Registers registers;

void require(bool holds, const char* rule) {
    if (holds) return;
    std::fprintf(stderr, "emulated AMX: %s\n", rule);
    std::abort();
}

Tile& tile_at(int number) {
    require(registers.configured, "tiles are used before they are configured");
    require(number >= 0 && number < tile_count, "there are eight tiles");
    Tile& tile = registers.tiles[number];
    require(tile.rows > 0, "this tile has no rows");
    return tile;
}

float at(const Tile& tile, int row, int number) {
    voxelgrad::bf16 value;
    std::memcpy(&value, &tile.data[row][number * sizeof(value)], sizeof(value));
    return voxelgrad::to_float(value);
}

}  // namespace

void load_configuration(const void* configuration) {
    Configuration given;
    std::memcpy(&given, configuration, sizeof(given));
    require(given.palette == 1 && given.start_row == 0, "the palette must be 1, the first row 0");
    for (int t = 0; t < tile_count; ++t) {
        require(given.rows[t] <= most_rows && given.row_bytes[t] <= most_bytes,
                "a tile has at most 16 rows of 64 bytes");
        registers.tiles[t].rows = given.rows[t];
        registers.tiles[t].row_bytes = given.row_bytes[t];
        std::memset(registers.tiles[t].data, 0, sizeof(registers.tiles[t].data));
    }
    registers.configured = true;
}

void release() { registers = Registers{}; }

void zero(int tile) { std::memset(tile_at(tile).data, 0, sizeof(Tile::data)); }

void load(int tile, const void* data, std::int64_t stride) {
    Tile& to = tile_at(tile);
    std::memset(to.data, 0, sizeof(to.data));
    for (int row = 0; row < to.rows; ++row)
        std::memcpy(to.data[row], static_cast<const char*>(data) + row * stride, to.row_bytes);
}

void store(int tile, void* data, std::int64_t stride) {
    const Tile& from = tile_at(tile);
    for (int row = 0; row < from.rows; ++row)
        std::memcpy(static_cast<char*>(data) + row * stride, from.data[row], from.row_bytes);
}

void multiply_bf16(int sums, int left, int right) {
    Tile& c = tile_at(sums);
    const Tile &a = tile_at(left), &b = tile_at(right);
    require(sums != left && sums != right && left != right, "TDPBF16PS takes three tiles");
    require(c.rows == a.rows && c.row_bytes == b.row_bytes && a.row_bytes == 4 * b.rows,
            "the shapes of sums and factors do not agree");
    const int columns = c.row_bytes / 4;
    for (int row = 0; row < c.rows; ++row) {
        float total[most_bytes / 4];
        std::memcpy(total, c.data[row], sizeof(total));
        for (int k = 0; k < b.rows; ++k) {
            const float even = at(a, row, 2 * k), odd = at(a, row, 2 * k + 1);
            for (int column = 0; column < columns; ++column)
                total[column] += even * at(b, k, 2 * column) + odd * at(b, k, 2 * column + 1);
        }
        std::memcpy(c.data[row], total, sizeof(total));
    }
}

}  // namespace emulated_amx

// Matrices that are parts of larger ones.
#pragma once

#include <cstdint>

namespace voxelgrad {

// Elements whose rows lie `pitch` elements apart.
template <class T>
struct Rows {
    T* data;
    std::int64_t pitch;

    Rows at(std::int64_t row, std::int64_t column) const {
        return {data + row * pitch + column, pitch};
    }
};

}  // namespace voxelgrad

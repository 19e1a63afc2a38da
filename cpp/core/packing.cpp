#include "core/packing.hpp"

#include <algorithm>
#include <numeric>

namespace voxelgrad {
namespace {

using ByOffset = std::vector<const Lifetime*>;

std::size_t lowest_place(const ByOffset& placed, const Lifetime& array) {
    std::size_t place = 0;
    for (const Lifetime* other : placed) {
        if (!other->meets(array)) continue;
        if (other->offset >= place + array.bytes) break;
        place = std::max(place, other->offset + other->bytes);
    }
    return place;
}

}  // namespace

std::size_t pack(std::vector<Lifetime>& arrays) {
    std::vector<std::size_t> order(arrays.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
        return arrays[a].bytes > arrays[b].bytes;
    });
    ByOffset placed;
    std::size_t total = 0;
    for (const std::size_t index : order) {
        Lifetime& array = arrays[index];
        array.offset = lowest_place(placed, array);
        total = std::max(total, array.offset + array.bytes);
        const auto below = [](const Lifetime* a, const Lifetime* b) {
            return a->offset < b->offset;
        };
        placed.insert(std::upper_bound(placed.begin(), placed.end(), &array, below), &array);
    }
    return total;
}

}  // namespace voxelgrad

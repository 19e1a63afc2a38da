// Tiles of target pixels and the patches of the source that they read, for convolutions whose
// source has few channels: such a patch is small enough to stay in shared memory while a block goes
// over the taps, and its pixels are padded to a size that is loaded at once.
//
// A tile is a box of `tile_pixels` pixels of one phase (conv_gather.cuh), one for each thread of a
// block. A block has several tiles, so that what belongs to the taps is loaded once for all of
// them.
#pragma once

#include "cuda/core/divisor.hpp"
#include "cuda/core/launch.hpp"
#include "cuda/ops/conv_pass.cuh"

namespace voxelgrad::cuda {

constexpr int tile_pixels = 128, tile_warps = tile_pixels / 32, tile_bits = 7;
constexpr int most_patch_channels = 4;
constexpr int most_patch_taps = 352;
constexpr std::int64_t most_patch_bytes = 72 << 10;  // of dynamic shared memory, on all devices

// Channels of a patch's pixel, of which the last ones may be zeros.
constexpr int padded_channels(int channels) { return channels == 3 ? 4 : channels; }

struct PatchTiles {
    int bits[conv_axes];           // a tile has 2^bits pixels along an axis
    WideDivisor count[conv_axes];  // tiles along an axis, of the phase that has most
    int extent[conv_axes];         // source pixels of a patch
    Divisor rows;                  // by extent[1]
    std::int64_t tiles;            // of all images of a part

    PatchTiles(const Gather& gather, int depth_bits, int height_bits)
        : bits{depth_bits, height_bits, tile_bits - depth_bits - height_bits}, tiles(gather.batch) {
        for (int a = 0; a < conv_axes; ++a) {
            const GatherAxis& axis = gather.axis[a];
            const int length = 1 << bits[a];
            const std::int64_t some = divide_up(axis.most_targets(), length);
            count[a] = WideDivisor(some);
            extent[a] = static_cast<int>(
                std::min<std::int64_t>(axis.reach(length), most_places));  // too many anyway
            tiles *= some;
        }
        rows = Divisor(extent[1]);
    }
    double patch_pixels() const { return double(extent[0]) * extent[1] * extent[2]; }

    // The form of tiles for which least is read and computed in vain.
    static PatchTiles best(const Gather& gather, int source_channels, int target_channels) {
        const auto cost = [&](const PatchTiles& some) {
            return static_cast<double>(some.tiles) *
                   (some.patch_pixels() * source_channels + double(tile_pixels) * target_channels);
        };
        PatchTiles result(gather, 0, 0);
        for (int depth = 0; depth <= tile_bits; ++depth)
            for (int height = 0; depth + height <= tile_bits; ++height) {
                const PatchTiles other(gather, depth, height);
                if (cost(other) < cost(result)) result = other;
            }
        return result;
    }
};

// What a block knows of its tiles' pixels and taps, in shared memory.
struct PatchTables {
    struct Tap {
        int place, number;  // how far from a pixel's place it lies; its number in the kernel
    };
    Tap tap[most_patch_taps];
    int place[tile_pixels];            // where a pixel of the tile begins to read; negative: none
    std::int64_t target[tile_pixels];  // element number of its channel 0
};

// The source index at which a phase begins to read for its target 0.
__device__ inline int lowest_offset(const GatherAxis::Phase& phase) {
    return phase.offset + std::min(0, phase.offset_step * (phase.taps - 1));
}

// `pitch`: elements of a pixel of the patch.
template <int pitch>
__device__ void list_taps(const Gather& gather, const Gather::Phase& phase, const PatchTiles& tiles,
                          PatchTables& tables) {
    const int taps = phase.taps();
    for (int t = static_cast<int>(threadIdx.x); t < taps; t += tile_pixels) {
        PatchTables::Tap& tap = tables.tap[t];
        const Shift shift = gather.shift(phase, t, tap.number);
        int place = 0;
        VOXELGRAD_UNROLL
        for (int a = 0; a < conv_axes; ++a)
            place = place * tiles.extent[a] + shift.offset[a] - lowest_offset(phase.axis[a]);
        tap.place = place * pitch;
    }
}

// The source from which patches are loaded: channels of one group.
template <class T>
struct PatchSource {
    const T* data;
    int channels;
    bool whole;  // a pixel is as long as one of the patch, and lies where it can be loaded at once

    template <int pitch>
    __device__ Pack<T, pitch> pixel(const T* from) const {
        if (whole) return load_pack<pitch>(from);
        Pack<T, pitch> result{};
        VOXELGRAD_UNROLL
        for (int c = 0; c < pitch; ++c)
            if (c < channels) result.value[c] = from[c];
        return result;
    }
};

// `padded`: channels of a patch's pixel; `pitch`: those of the source's.
template <class T>
PatchSource<T> patch_source(const T* data, int channels, int padded, std::int64_t pitch) {
    const auto address = reinterpret_cast<std::uintptr_t>(data);
    return {data, channels,
            channels == padded && pitch % padded == 0 && address % (padded * sizeof(T)) == 0};
}

// 0 <= i < end.
__device__ inline bool is_below(int i, int end) {
    return static_cast<unsigned>(i) < static_cast<unsigned>(end);
}

// Loads the patch of tile `number`, and lists its pixels. Every thread of the block has to call it,
// and to wait before it reads.
template <int pitch, class T>
__device__ void enter_tile(const Gather& gather, const Gather::Phase& phase,
                           const PatchTiles& tiles, std::int64_t number,
                           const PatchSource<T>& source, PatchTables& tables, T* patch) {
    const int thread = static_cast<int>(threadIdx.x), warp = thread / 32, lane = thread % 32;
    int first[conv_axes], own[conv_axes], origin[conv_axes], rest = thread;
    VOXELGRAD_UNROLL
    for (int a = conv_axes - 1; a >= 0; --a) {
        const auto [next, at] = tiles.count[a].split(number);
        first[a] = static_cast<int>(at) << tiles.bits[a];
        number = next;
        own[a] = rest & ((1 << tiles.bits[a]) - 1);
        rest >>= tiles.bits[a];
        origin[a] = phase.axis[a].unit * first[a] + lowest_offset(phase.axis[a]);
    }
    int place = 0;
    std::int64_t line = number;
    bool exists = true;
    VOXELGRAD_UNROLL
    for (int a = 0; a < conv_axes; ++a) {
        const GatherAxis::Phase& axis = phase.axis[a];
        place = place * tiles.extent[a] + axis.unit * own[a];
        line = line * gather.axis[a].target + axis.start + axis.step * (first[a] + own[a]);
        exists = exists && first[a] + own[a] < axis.count;
    }
    tables.place[thread] = exists ? place * pitch : -1;
    tables.target[thread] = line * gather.target_pitch;

    const int lines = tiles.extent[0] * tiles.extent[1];
    for (int l = warp; l < lines; l += tile_warps) {
        int row = l;
        const int plane = tiles.rows.split(row), z = origin[0] + plane, y = origin[1] + row;
        const bool inside =
            is_below(z, gather.axis[0].source) && is_below(y, gather.axis[1].source);
        const std::int64_t place = (number * gather.axis[0].source + z) * gather.axis[1].source + y;
        const T* const from =
            source.data + (place * gather.axis[2].source + origin[2]) * gather.source_pitch;
        T* const to = patch + l * tiles.extent[2] * pitch;
        for (int x = lane; x < tiles.extent[2]; x += 32) {
            const bool exists = inside && is_below(origin[2] + x, gather.axis[2].source);
            *reinterpret_cast<Pack<T, pitch>*>(to + x * pitch) =
                exists ? source.template pixel<pitch>(from + x * gather.source_pitch)
                       : Pack<T, pitch>{};
        }
    }
}

// Which tiles a block has: `length` of a part, at most, as equal ranges as can be.
struct TileRanges {
    std::int64_t tiles, length, ranges;

    TileRanges(std::int64_t tiles, std::int64_t wanted)
        : tiles(tiles),
          length(divide_up(std::max<std::int64_t>(tiles, 1), std::max<std::int64_t>(wanted, 1))),
          ranges(divide_up(std::max<std::int64_t>(tiles, 1), length)) {}
    __device__ std::int64_t first(std::int64_t range) const { return range * length; }
    __device__ std::int64_t end(std::int64_t range) const {
        return std::min((range + 1) * length, tiles);
    }
};

}  // namespace voxelgrad::cuda

// How the norms go over images (outer, rows, channels).
//
// A block is some neighbouring packs of channels by some rows, and goes down a segment of the rows:
// a thread keeps its channels, so that what belongs to them is loaded once, and a warp reads whole
// lines of memory. Segments depend on the shape alone; the sums of a segment are added in a fixed
// tree, segments in a fixed order afterwards.
#pragma once

#include "core/split.hpp"
#include "cuda/core/pack.hpp"
#include "cuda/core/teams.hpp"

namespace voxelgrad::cuda {

struct NormColumns {
    std::int64_t outer, rows, channels, segments, length;
    int width, columns, block_rows;  // elements of a pack; packs and rows of a block

    // Segments for sums: threads have at least 16 rows, and there are not too many to add.
    static NormColumns for_sums(std::int64_t outer, std::int64_t rows, std::int64_t channels,
                                int width) {
        constexpr std::int64_t shortest = 16, most = 1024;
        NormColumns all(outer, rows, channels, width);
        return all.cut(std::max(shortest * all.block_rows, divide_up(rows, most)));
    }
    // Segments for passes that write an image.
    static NormColumns for_images(std::int64_t outer, std::int64_t rows, std::int64_t channels,
                                  int width) {
        constexpr std::int64_t rows_a_thread = 8;
        NormColumns all(outer, rows, channels, width);
        return all.cut(rows_a_thread * all.block_rows);
    }

    constexpr std::int64_t packs() const { return channels / width; }
    constexpr std::int64_t strips() const { return divide_up(packs(), columns); }
    Grid grid() const {
        return {dim3(static_cast<unsigned>(outer * segments * strips())), dim3(block_threads)};
    }

 private:
    NormColumns(std::int64_t outer, std::int64_t rows, std::int64_t channels, int width)
        : outer(outer),
          rows(rows),
          channels(channels),
          segments(1),
          length(rows),
          width(width),
          columns(power_of_two_up_to(channels / width, 32)),
          block_rows(block_threads / columns) {}
    NormColumns cut(std::int64_t most_rows) const {
        NormColumns result = *this;
        result.length = even_part(rows, most_rows);
        result.segments = divide_up(rows, result.length);
        return result;
    }
};

// The part of a thread: its pack of channels, and its rows of the segment.
struct NormPart {
    std::int64_t outer, segment, channel;
    std::int64_t begin, end;  // rows
    int row;                  // of the block
    bool exists;

    __device__ NormPart(const NormColumns& all, unsigned block) {
        const int thread = static_cast<int>(threadIdx.x);
        row = thread / all.columns;
        // Numbers of blocks fit into 32 bits, which are divided sooner.
        const auto strips = static_cast<unsigned>(all.strips());
        const auto segments = static_cast<unsigned>(all.segments);
        const unsigned line = block / strips;
        outer = line / segments;
        segment = line % segments;
        const std::int64_t pack =
            std::int64_t(block % strips) * all.columns + (thread - row * all.columns);
        channel = pack * all.width;
        exists = pack < all.packs();
        begin = segment * all.length + row;
        end = exists ? std::min((segment + 1) * all.length, all.rows) : 0;
    }
};

// Calls body(row, at, packs) for the rows of a part, with one pack of each source; `at` is where
// these begin. The packs of some rows are loaded before the first is used, so that a thread does
// not wait for each; body may overwrite its own.
template <int width, class T, int sources, class Body>
__device__ void for_rows(const NormColumns& all, const NormPart& part,
                         const T* const (&source)[sources], const Body& body) {
    constexpr int batch = 4;
    for (std::int64_t first = part.begin; first < part.end; first += batch * all.block_rows) {
        Pack<T, width> packs[batch][sources];
        const auto place = [&](std::int64_t row) {
            return (part.outer * all.rows + row) * all.channels + part.channel;
        };
        VOXELGRAD_UNROLL
        for (int b = 0; b < batch; ++b) {
            const std::int64_t row = first + b * all.block_rows;
            if (row >= part.end) continue;
            VOXELGRAD_UNROLL
            for (int s = 0; s < sources; ++s)
                packs[b][s] = load_pack<width>(source[s] + place(row));
        }
        VOXELGRAD_UNROLL
        for (int b = 0; b < batch; ++b) {
            const std::int64_t row = first + b * all.block_rows;
            if (row < part.end) body(row, place(row), packs[b]);
        }
    }
}

// Two sums for every channel of every segment, as (outer, channels, segments). `Terms` has
//
//   source[]                                            the images that it reads
//   State<width> begin(all, part)                       what a thread keeps of its channels
//   add(state, row, packs, first[width], second[width]) adds the terms of a row
template <int width, class Terms>
__global__ void __launch_bounds__(block_threads)
    column_sums_kernel(NormColumns all, Terms terms, float* first, float* second) {
    VOXELGRAD_SHARED(firsts, float[width][block_threads]);
    VOXELGRAD_SHARED(seconds, float[width][block_threads]);
    const int thread = static_cast<int>(threadIdx.x);
    const NormPart part(all, blockIdx.x);
    float sum[width] = {}, other[width] = {};
    if (part.exists) {
        const auto state = terms.template begin<width>(all, part);
        for_rows<width>(all, part, terms.source,
                        [&](std::int64_t row, std::int64_t, const auto& packs) {
                            terms.add(state, row, packs, sum, other);
                        });
    }
    VOXELGRAD_UNROLL
    for (int i = 0; i < width; ++i) {
        firsts[i][thread] = sum[i];
        seconds[i][thread] = other[i];
    }
    for (int half = all.block_rows / 2; half > 0; half /= 2) {
        __syncthreads();
        if (part.row >= half) continue;
        VOXELGRAD_UNROLL
        for (int i = 0; i < width; ++i) {
            firsts[i][thread] += firsts[i][thread + half * all.columns];
            seconds[i][thread] += seconds[i][thread + half * all.columns];
        }
    }
    if (!part.exists || part.row != 0) return;
    VOXELGRAD_UNROLL
    for (int i = 0; i < width; ++i) {
        const std::int64_t column = part.outer * all.channels + part.channel + i;
        first[column * all.segments + part.segment] = firsts[i][thread];
        second[column * all.segments + part.segment] = seconds[i][thread];
    }
}

}  // namespace voxelgrad::cuda

// The passes of a convolution as matrix products C = A B, for gemm.cuh.
//
// A pass says where an element of A (row, step) and of B (step, column) lies, and stores C. Rows,
// steps and columns are worked out once and then met with each other many times. What lies outside
// an image or a matrix is null: a zero. Parts are products of their own: groups, and the phases of
// a gather or pieces of a long sum.
#pragma once

#include "core/bf16.hpp"
#include "cuda/core/pack.hpp"
#include "cuda/ops/conv_gather.cuh"
#include "ops/conv_epilogue.hpp"

namespace voxelgrad::cuda {

// Where element (channel `k` of the source, tap, channel `n` of the target) of a group's weight
// lies.
struct WeightOrder {
    std::int64_t k, n, tap, group;
};

inline WeightOrder weight_order(const ConvGeometry& g, bool source_is_inner) {
    const std::int64_t inner = g.transposed ? g.coarse_channels : g.fine_channels;
    const std::int64_t row = g.taps() * inner,
                       group = g.weight_size() / std::max<std::int64_t>(g.groups, 1);
    return source_is_inner ? WeightOrder{1, row, inner, group} : WeightOrder{row, 1, inner, group};
}

__device__ inline float finished(const ConvEpilogue& epilogue, float sum, std::int64_t channel) {
    const float value = epilogue.bias ? sum + epilogue.bias[channel] : sum;
    if (!(value < 0.0f)) return value;
    return epilogue.slope == 0.0f ? 0.0f : epilogue.slope * value;  // of minus infinity too
}

// Target pixels by target channels: sums over taps and source channels. `inner`: the source's
// channels are the last axis of the weight, whose elements are of type W.
template <class T, bool inner, class W = float>
struct ImagePass {
    static constexpr bool a_along_steps = true, b_along_steps = inner;
    static constexpr int stored = full_width<T>;  // columns that are stored as one

    Gather gather;
    const T* source;
    const W* weight;
    ConvEpilogue epilogue;
    T* target;
    int groups, source_channels, target_channels;
    WeightOrder order;
    Divisor by_source_channels;

    // Of one block, in shared memory.
    struct Part {
        Gather::Phase phase;
        std::int64_t group, rows, weight, source, target;
        int steps;
    };
    using Row = Place;
    struct Step {
        Shift shift;
        std::int64_t weight;  // negative: none
    };
    using Column = std::int64_t;

    std::int64_t parts() const { return std::int64_t(gather.phases()) * groups; }
    std::int64_t most_rows() const { return gather.most_targets(); }
    int columns() const { return target_channels; }
    int most_steps() const { return gather.most_taps() * source_channels; }

    // Called by every thread of a block.
    __device__ void enter(std::int64_t number, Part& part) const {
        const int phase = static_cast<int>(number / groups), thread = threadIdx.x;
        if (thread < conv_axes) part.phase.axis[thread] = gather.axis_phase(phase, thread);
        __syncthreads();
        if (thread == 0) {
            part.group = number % groups;
            part.rows = gather.batch * part.phase.pixels();
            part.steps = part.phase.taps() * source_channels;
            part.weight = part.group * order.group;
            part.source = part.group * source_channels;
            part.target = part.group * target_channels;
        }
        __syncthreads();
    }
    __device__ std::int64_t first_step(const Part&) const { return 0; }
    __device__ std::int64_t end_step(const Part& part) const { return part.steps; }

    __device__ Row row(const Part& part, std::int64_t i) const {
        if (i >= part.rows) return no_place();
        Place place = gather.place(part.phase, gather.pixel(part.phase, i));
        place.base += part.source;
        return place;
    }
    __device__ Step step(const Part& part, std::int64_t number) const {
        if (number >= part.steps) return {no_shift(), -1};
        int channel = static_cast<int>(number), tap_number;
        const int tap = by_source_channels.split(channel);
        Step result;
        result.shift = gather.shift(part.phase, tap, tap_number);
        result.shift.distance += channel;
        result.weight = part.weight + tap_number * order.tap + channel * order.k;
        return result;
    }
    __device__ Column column(const Part&, int j) const {
        return j < target_channels ? j * order.n : -1;
    }

    __device__ const T* a(const Row& row, const Step& step) const {
        return gather.read(source, row, step.shift);
    }
    __device__ const W* b(const Step& step, const Column& column) const {
        return step.weight < 0 || column < 0 ? nullptr : weight + step.weight + column;
    }

    // Where row i is stored; null: nowhere.
    __device__ T* target_of(const Part& part, std::int64_t i) const {
        return i < part.rows ? target + gather.target(part.phase, i) : nullptr;
    }
    // `count` neighbouring columns of a row, the first of which is j; `width`: how many fill a
    // pack.
    template <int width, int count>
    __device__ void store(const Part& part, T* pixel, int j, const float (&values)[count]) const {
        if (!pixel) return;
        VOXELGRAD_UNROLL
        for (int c = 0; c < count; c += width)
            if (j + c < target_channels) store_pack<width>(pixel, part.target + j + c, values + c);
    }
    template <int width, int count>
    __device__ void store(const Part& part, std::int64_t i, int j,
                          const float (&values)[count]) const {
        store<width>(part, target_of(part, i), j, values);
    }
    // `channel` of all groups.
    template <int width>
    __device__ void store_pack(T* pixel, std::int64_t channel, const float* values) const {
        Pack<T, width> pack;
        VOXELGRAD_UNROLL
        for (int w = 0; w < width; ++w)
            pack.value[w] = rounded_to<T>(finished(epilogue, values[w], channel + w));
        *reinterpret_cast<Pack<T, width>*>(pixel + channel) = pack;
    }
};

// Coarse channels by taps and fine channels: sums over coarse pixels, in pieces of `length`.
template <class T>
struct WeightPass {
    static constexpr bool a_along_steps = false, b_along_steps = false;
    static constexpr int stored = 1;

    Gather gather;  // coarse from fine
    const T *fine, *coarse;
    float* output;  // (pieces, weight)
    int groups, coarse_channels, fine_channels;
    WeightOrder order;  // k: of the fine channels, n: of the coarse ones
    std::int64_t pixels, length, weight_size;
    Divisor by_fine_channels;

    struct Part {
        Gather::Phase phase;
        Gather::Pixel first_pixel;
        std::int64_t fine, coarse, output, first, end;
    };
    using Row = std::int64_t;
    struct Step {
        Place place;
        std::int64_t coarse;  // negative: none
    };
    using Column = Shift;

    std::int64_t parts() const {
        return divide_up(std::max<std::int64_t>(pixels, 1), length) * groups;
    }
    std::int64_t most_rows() const { return coarse_channels; }
    int columns() const { return taps() * fine_channels; }
    constexpr int taps() const {
        return gather.axis[0].kernel * gather.axis[1].kernel * gather.axis[2].kernel;
    }

    __device__ void enter(std::int64_t number, Part& part) const {
        const int thread = threadIdx.x;
        if (thread < conv_axes) part.phase.axis[thread] = gather.axis_phase(0, thread);
        if (thread == 0) {
            const std::int64_t piece = number / groups, group = number % groups;
            part.fine = group * fine_channels;
            part.coarse = group * coarse_channels;
            part.output = piece * weight_size + group * order.group;
            part.first = piece * length;
            part.end = std::min(part.first + length, pixels);
        }
        __syncthreads();
        if (thread == 0 && part.first < part.end)
            part.first_pixel = gather.pixel(part.phase, part.first);
        __syncthreads();
    }
    __device__ std::int64_t first_step(const Part& part) const { return part.first; }
    __device__ std::int64_t end_step(const Part& part) const { return part.end; }

    __device__ Row row(const Part& part, std::int64_t i) const {
        return i < coarse_channels ? part.coarse + i : -1;
    }
    __device__ Step step(const Part& part, std::int64_t pixel) const {
        if (pixel >= part.end) return {no_place(), -1};
        const auto at =
            gather.behind(part.phase, part.first_pixel, static_cast<int>(pixel - part.first));
        return {gather.place(part.phase, at), pixel * gather.target_pitch};
    }
    __device__ Column column(const Part& part, int j) const {
        if (j >= part.phase.taps() * fine_channels) return no_shift();
        int number;
        const int tap = by_fine_channels.split(j);
        Shift result = gather.shift(part.phase, tap, number);
        result.distance += part.fine + j;
        return result;
    }

    __device__ const T* a(const Row& row, const Step& step) const {
        return row < 0 || step.coarse < 0 ? nullptr : coarse + step.coarse + row;
    }
    __device__ const T* b(const Step& step, const Column& column) const {
        return gather.read(fine, step.place, column);
    }

    __device__ float* target_of(const Part& part, std::int64_t i) const {
        return i < coarse_channels ? output + part.output + i * order.n : nullptr;
    }
    template <int, int count>
    __device__ void store(const Part& part, float* row, int j, const float (&values)[count]) const {
        if (!row) return;
        VOXELGRAD_UNROLL
        for (int c = 0; c < count; ++c) {
            int channel = j + c;
            const int tap = by_fine_channels.split(channel);
            if (tap < part.phase.taps()) row[tap * order.tap + channel * order.k] = values[c];
        }
    }
    template <int width, int count>
    __device__ void store(const Part& part, std::int64_t i, int j,
                          const float (&values)[count]) const {
        store<width>(part, target_of(part, i), j, values);
    }
};

}  // namespace voxelgrad::cuda

// Optimizer steps over lists of arrays, in place; semantics as in cpp/ops/optim.hpp. All arrays of
// a list are gone through by a few launches.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "cuda/core/groups.hpp"
#include "cuda/core/pack.hpp"
#include "cuda/core/totals.hpp"
#include "ops/optim_arguments.hpp"

namespace voxelgrad::cuda {

constexpr int most_arrays = 48;  // of a launch: their addresses are arguments, 4 KiB at most
constexpr std::int64_t elements_a_block = 4 * block_threads;

// Some arrays of up to `kinds` lists; arrays at one place of the lists are of one size.
template <int kinds>
struct ArrayGroup {
    float* data[kinds][most_arrays];
    std::int64_t size[most_arrays];
    std::int32_t first_block[most_arrays + 1];  // of the launch
    int count = 0;

    // The array that a block works on.
    __device__ int array_of(std::int32_t block) const {
        int array = 0;
        while (first_block[array + 1] <= block) ++array;
        return array;
    }
};

// `function(values)` changes the elements of one place, one of each list: those of a pack that
// begins at element i. A list that is not there has a null address.
template <int width, int kinds, class Function>
__device__ void change_pack(float* const (&data)[kinds], std::int64_t i, const Function& function) {
    Pack<float, width> packs[kinds]{};
    VOXELGRAD_UNROLL
    for (int k = 0; k < kinds; ++k)
        if (data[k]) packs[k] = load_pack<width>(data[k] + i);
    VOXELGRAD_UNROLL
    for (int e = 0; e < width; ++e) {
        float values[kinds];
        VOXELGRAD_UNROLL
        for (int k = 0; k < kinds; ++k) values[k] = packs[k].value[e];
        function(values);
        VOXELGRAD_UNROLL
        for (int k = 0; k < kinds; ++k) packs[k].value[e] = values[k];
    }
    VOXELGRAD_UNROLL
    for (int k = 0; k < kinds; ++k)
        if (Function::writes(k) && data[k])
            *reinterpret_cast<Pack<float, width>*>(data[k] + i) = packs[k];
}

// A thread changes four neighbours.
template <int kinds, class Function>
__global__ void __launch_bounds__(block_threads)
    each_element_kernel(ArrayGroup<kinds> group, Function function) {
    const std::int32_t block = blockIdx.x;
    const int array = group.array_of(block);
    const std::int64_t first =
        (block - group.first_block[array]) * elements_a_block + std::int64_t{4} * threadIdx.x;
    const std::int64_t end = std::min(first + 4, group.size[array]);
    float* data[kinds];
    bool whole = first + 4 == end;
    VOXELGRAD_UNROLL
    for (int k = 0; k < kinds; ++k) {
        data[k] = group.data[k][array];
        whole = whole && reinterpret_cast<std::uintptr_t>(data[k]) % 16 == 0;
    }
    if (whole) return change_pack<4>(data, first, function);
    for (std::int64_t i = first; i < end; ++i) change_pack<1>(data, i, function);
}

// Calls body(group, blocks) for groups of arrays that are not empty. `lists` hold the addresses of
// each kind, or nothing.
template <int kinds, class Body>
void for_groups(const std::vector<std::int64_t>& sizes, const std::vector<float*> (&lists)[kinds],
                Body body) {
    ArrayGroup<kinds> group;
    std::int32_t blocks = 0;
    const auto finish = [&] {
        if (group.count > 0) body(group, blocks);
        group.count = blocks = 0;
    };
    for (std::size_t i = 0; i < sizes.size(); ++i) {
        if (sizes[i] == 0) continue;
        for (int k = 0; k < kinds; ++k)
            group.data[k][group.count] = lists[k].empty() ? nullptr : lists[k][i];
        group.size[group.count] = sizes[i];
        group.first_block[group.count++] = blocks;
        blocks += static_cast<std::int32_t>(divide_up(sizes[i], elements_a_block));
        group.first_block[group.count] = blocks;
        if (group.count == most_arrays) finish();
    }
    finish();
}

template <class T>
std::vector<float*> addresses(const std::vector<View<T>>& arrays) {
    std::vector<float*> result;
    for (const View<T>& array : arrays) result.push_back(const_cast<float*>(array.data));
    return result;
}

template <class T>
std::vector<std::int64_t> sizes_of(const std::vector<View<T>>& arrays) {
    std::vector<std::int64_t> result;
    for (const View<T>& array : arrays) result.push_back(array.size());
    return result;
}

struct Sgd {
    static constexpr bool writes(int list) { return list != 1; }
    SgdStep step;
    bool has_buffer;

    __device__ void operator()(float (&values)[3]) const {
        auto& [param, grad, buffer] = values;
        float direction = grad + step.weight_decay * param;
        if (has_buffer) {
            buffer = step.momentum * buffer + direction;
            direction = step.nesterov ? direction + step.momentum * buffer : buffer;
        }
        param -= step.lr * direction;
    }
};

struct Adam {
    static constexpr bool writes(int list) { return list != 1; }
    AdamStep step;

    __device__ void operator()(float (&values)[4]) const {
        auto& [param, grad, average, square] = values;
        const float g = grad + step.l2 * param;
        average = step.beta1 * average + step.one_minus_beta1 * g;
        square = step.beta2 * square + step.one_minus_beta2 * g * g;
        const float denominator = sqrtf(square) * step.inverse_correction + step.eps;
        param = step.keep * param - step.step_size * average / denominator;
    }
};

struct ScaleElement {
    static constexpr bool writes(int) { return true; }
    float factor;
    __device__ void operator()(float (&values)[1]) const { values[0] *= factor; }
};

template <int kinds, class Function>
void change_each(const char* op, Stream stream, const std::vector<std::int64_t>& sizes,
                 const std::vector<float*> (&lists)[kinds], const Function& function) {
    for_groups(sizes, lists, [&](const ArrayGroup<kinds>& group, std::int32_t blocks) {
        launch(op, stream, {dim3(static_cast<unsigned>(blocks)), dim3(block_threads)},
               each_element_kernel<kinds, Function>, group, function);
    });
}

using Arrays = std::vector<View<float>>;
using ConstArrays = std::vector<View<const float>>;

inline void sgd_step(Stream stream, const Arrays& params, const ConstArrays& grads,
                     const Arrays& buffers, double lr, double momentum, bool nesterov,
                     double weight_decay) {
    const bool has_buffer = momentum != 0.0;
    check_match("sgd_step", params, "grads", grads);
    if (has_buffer) check_match("sgd_step", params, "buffers", buffers);
    const SgdStep step{static_cast<float>(lr), static_cast<float>(momentum),
                       static_cast<float>(weight_decay), nesterov};
    change_each("sgd_step", stream, sizes_of(params),
                {addresses(params), addresses(grads),
                 has_buffer ? addresses(buffers) : std::vector<float*>{}},
                Sgd{step, has_buffer});
}

inline void adam_step(Stream stream, const Arrays& params, const ConstArrays& grads,
                      const Arrays& exp_avgs, const Arrays& exp_avg_sqs, double lr, double beta1,
                      double beta2, double eps, double weight_decay, bool decoupled,
                      std::int64_t step) {
    check_match("adam_step", params, "grads", grads);
    check_match("adam_step", params, "exp_avgs", exp_avgs);
    check_match("adam_step", params, "exp_avg_sqs", exp_avg_sqs);
    const Adam adam{adam_constants(lr, beta1, beta2, eps, weight_decay, decoupled, step)};
    change_each("adam_step", stream, sizes_of(params),
                {addresses(params), addresses(grads), addresses(exp_avgs), addresses(exp_avg_sqs)},
                adam);
}

inline void scale_inplace(Stream stream, const Arrays& arrays, double factor) {
    change_each("scale_inplace", stream, sizes_of(arrays), {addresses(arrays)},
                ScaleElement{static_cast<float>(factor)});
}

// The sum of squares and the number of elements that are not finite, block by block.
static __global__ void squares_kernel(ArrayGroup<1> group, Totals* parts) {
    const std::int32_t block = blockIdx.x;
    const int array = group.array_of(block);
    const std::int64_t first = (block - group.first_block[array]) * elements_a_block;
    const std::int64_t end = std::min(first + elements_a_block, group.size[array]);
    Totals own{0.0, 0.0};
    for (std::int64_t i = first + threadIdx.x; i < end; i += block_threads) {
        const float value = group.data[0][array][i];
        own.losses += static_cast<double>(value) * value;
        own.weights += value - value == 0.0f ? 0.0 : 1.0;  // NaN for infinities
    }
    const double squares = block_sum(own.losses), strange = block_sum(own.weights);
    if (threadIdx.x == 0) parts[block] = {squares, strange};
}

// totals (2,) = {sum of squares, number of elements that are not finite}.
inline void square_totals(Stream stream, const ConstArrays& arrays, View<double> totals) {
    check(totals.rank == 1 && totals[0] == 2, "square_totals: totals ", totals, " must be (2)");
    std::int64_t count = 0;
    for (const auto& array : arrays) count += divide_up(array.size(), elements_a_block);
    const Workspace<Totals> parts(count);
    Totals* next = parts.data();
    for_groups(sizes_of(arrays), {addresses(arrays)},
               [&](const ArrayGroup<1>& group, std::int32_t blocks) {
                   launch("square_totals", stream,
                          {dim3(static_cast<unsigned>(blocks)), dim3(block_threads)},
                          squares_kernel, group, next);
                   next += blocks;
               });
    launch("square_totals", stream, {dim3(1), dim3(block_threads)}, sum_parts_kernel, parts.data(),
           count, totals.data);
}

}  // namespace voxelgrad::cuda

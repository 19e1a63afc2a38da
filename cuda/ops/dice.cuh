// The sums that the soft Dice loss is made of, and their gradient; semantics as in
// cpp/ops/dice.hpp.
#pragma once

#include "cuda/core/groups.hpp"
#include "cuda/core/map.hpp"
#include "cuda/core/workspace.hpp"
#include "cuda/ops/mean_loss.cuh"
#include "ops/dice_arguments.hpp"

namespace voxelgrad::cuda {

constexpr int dice_rows_a_thread = 64;

// A block adds up the three sums of `columns` classes over a chunk of a sample's rows.
struct DiceChunks {
    std::int64_t samples, rows, classes, chunks;
    int columns;

    DiceChunks(std::int64_t samples, std::int64_t rows, std::int64_t classes)
        : samples(samples),
          rows(rows),
          classes(classes),
          columns(power_of_two_up_to(classes, warp_lanes)) {
        chunks = divide_up(rows, rows_a_chunk());
    }
    constexpr int rows_a_step() const { return block_threads / columns; }
    constexpr std::int64_t rows_a_chunk() const {
        return std::int64_t(rows_a_step()) * dice_rows_a_thread;
    }
    constexpr std::int64_t strips() const { return divide_up(classes, columns); }
};

// Adds up over the rows of a block, column by column; the sums are those of row 0.
__device__ inline double column_sum(double value, int columns) {
    VOXELGRAD_SHARED(totals, double[block_threads]);
    const int thread = threadIdx.x;
    __syncthreads();  // an earlier sum may still be read
    totals[thread] = value;
    for (int half = block_threads / columns / 2; half > 0; half /= 2) {
        __syncthreads();
        if (thread < half * columns) totals[thread] += totals[thread + half * columns];
    }
    return totals[thread];
}

static __global__ void dice_sums_kernel(DiceChunks all, const float* probabilities, Labels labels,
                                        double* parts) {
    const std::int64_t strip = blockIdx.x % all.strips(), chunk = blockIdx.x / all.strips();
    const std::int64_t sample = chunk / all.chunks;
    const std::int64_t first = (chunk - sample * all.chunks) * all.rows_a_chunk();
    const std::int64_t column = strip * all.columns + threadIdx.x % all.columns;
    float own = 0.0f, counted = 0.0f, number = 0.0f;
    for (int i = 0; i < dice_rows_a_thread; ++i) {
        const std::int64_t r =
            first + std::int64_t(i) * all.rows_a_step() + threadIdx.x / all.columns;
        if (r >= all.rows || column >= all.classes) continue;
        const std::int64_t row = sample * all.rows + r;
        if (column == 0 && labels.is_wrong(row)) own = NAN;
        const std::int64_t label = labels.of(row);
        const float p = probabilities[row * all.classes + column];
        own += label == column ? p : 0.0f;
        counted += label >= 0 ? p : 0.0f;
        number += label == column ? 1.0f : 0.0f;
    }
    const double sums[3] = {column_sum(own, all.columns), column_sum(counted, all.columns),
                            column_sum(number, all.columns)};
    if (threadIdx.x >= static_cast<unsigned>(all.columns) || column >= all.classes) return;
    for (int i = 0; i < 3; ++i) parts[(chunk * all.classes + column) * 3 + i] = sums[i];
}

// A thread adds up one of the (N, K, 3) sums over the chunks.
static __global__ void dice_parts_kernel(std::int64_t chunks, std::int64_t sums_a_sample,
                                         std::int64_t count, const double* parts, double* sums) {
    const std::int64_t i = std::int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= count) return;
    const std::int64_t sample = i / sums_a_sample, place = i - sample * sums_a_sample;
    double total = 0.0;
    for (std::int64_t c = 0; c < chunks; ++c)
        total += parts[(sample * chunks + c) * sums_a_sample + place];
    sums[i] = total;
}

inline void dice_sums(Stream stream, View<const float> probabilities,
                      View<const std::int64_t> labels, View<double> sums,
                      std::int64_t ignore_index) {
    constexpr const char* op = "dice_loss";
    check_dice_sums(op, probabilities, labels, sums);
    const std::int64_t classes = probabilities.last();
    const DiceChunks all(labels[0], labels.count(1, labels.rank), classes);
    const Workspace<double> parts(all.samples * all.chunks * classes * 3);
    const Grid grid{dim3(static_cast<unsigned>(all.samples * all.chunks * all.strips())),
                    dim3(block_threads)};
    launch(op, stream, grid, dice_sums_kernel, all, probabilities.data,
           Labels{labels.data, classes, ignore_index, fault_buffer, FaultOp::dice_loss},
           parts.data());
    launch(op, stream, threads_for(sums.size()), dice_parts_kernel, all.chunks, classes * 3,
           sums.size(), parts.data(), sums.data);
}

// The scores (rows, classes) of sums (N, K, 3); `together` samples make a row.
struct DiceScores {
    std::int64_t rows, classes, together, first;
    double smooth;
};

// One block.
static __global__ void dice_score_kernel(DiceScores all, const double* sums, double* dice,
                                         double* denominator, float* output) {
    double total = 0.0;
    for (std::int64_t i = threadIdx.x; i < all.rows * all.classes; i += blockDim.x) {
        const std::int64_t row = i / all.classes, k = i - row * all.classes;
        double sum[3] = {0.0, 0.0, 0.0};
        for (std::int64_t n = row * all.together; n < (row + 1) * all.together; ++n)
            for (int j = 0; j < 3; ++j) sum[j] += sums[(n * all.classes + k) * 3 + j];
        const double below = sum[1] + sum[2] + all.smooth;
        // Where nothing is counted and nothing smooths, prediction and label agree perfectly.
        dice[i] = below <= 0.0 ? 1.0 : (2.0 * sum[0] + all.smooth) / below;  // NaN stays NaN
        denominator[i] = below <= 0.0 ? 1.0 : below;
        if (k >= all.first) total += dice[i];
    }
    const double score = block_sum(total);
    const double count = static_cast<double>(all.rows * (all.classes - all.first));
    if (threadIdx.x == 0) *output = static_cast<float>(1.0 - score / count);
}

inline void dice_score(Stream stream, View<const double> sums, View<double> dice,
                       View<double> denominator, View<float> output, double smooth,
                       bool include_background) {
    check_dice_score("dice_score", sums, dice, denominator, output);
    const DiceScores all{dice[0], dice[1], sums[0] / dice[0], include_background ? 0 : 1, smooth};
    launch("dice_score", stream, {dim3(1), dim3(block_threads)}, dice_score_kernel, all, sums.data,
           dice.data, denominator.data, output.data);
}

// Dice = (2 I + s) / D with D = P + T + s, so dDice/dp = (2 [y = k] - Dice) / D.
static __global__ void dice_coefficients_kernel(DiceScores all, std::int64_t count,
                                                const double* dice, const double* denominator,
                                                const float* grad_output, float* intersection,
                                                float* sum) {
    const std::int64_t i = std::int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= count) return;
    const std::int64_t n = i / all.classes, k = i - n * all.classes;
    const std::int64_t score = n / all.together * all.classes + k;
    const double share = *grad_output / static_cast<double>(all.rows * (all.classes - all.first));
    const double scale = k < all.first ? 0.0 : share / denominator[score];
    intersection[i] = static_cast<float>(-2.0 * scale);
    sum[i] = static_cast<float>(scale * dice[score]);
}

inline void dice_coefficients(Stream stream, View<const double> dice,
                              View<const double> denominator, View<const float> grad_output,
                              View<float> coefficient_intersection, View<float> coefficient_sum,
                              bool include_background) {
    constexpr const char* op = "dice_coefficients";
    check_dice_coefficients(op, dice, denominator, grad_output, coefficient_intersection,
                            coefficient_sum);
    const DiceScores all{dice[0], dice[1], coefficient_sum[0] / dice[0], include_background ? 0 : 1,
                         0.0};
    const std::int64_t count = coefficient_sum.size();
    launch(op, stream, threads_for(count), dice_coefficients_kernel, all, count, dice.data,
           denominator.data, grad_output.data, coefficient_intersection.data, coefficient_sum.data);
}

struct DiceGradient {
    Labels labels;
    const float* intersection;
    const float* sum;
    std::int64_t rows;  // of a sample

    __device__ float operator()(std::int64_t element) const {
        const std::int64_t row = element / labels.classes, k = element - row * labels.classes;
        const std::int64_t label = labels.of(row), place = row / rows * labels.classes + k;
        if (label < 0) return 0.0f;
        return label == k ? sum[place] + intersection[place] : sum[place];
    }
};

inline void dice_backward(Stream stream, View<const std::int64_t> labels,
                          View<const float> coefficient_intersection,
                          View<const float> coefficient_sum, View<float> grad_probabilities,
                          std::int64_t ignore_index) {
    constexpr const char* op = "dice_backward";
    check_dice_gradient(op, labels, coefficient_intersection, coefficient_sum, grad_probabilities);
    const Labels classes{labels.data, grad_probabilities.last(), ignore_index, fault_buffer,
                         FaultOp::dice_loss};
    const DiceGradient gradient{classes, coefficient_intersection.data, coefficient_sum.data,
                                labels.count(1, labels.rank)};
    map(op, stream, gradient, grad_probabilities.size(), grad_probabilities.data);
}

}  // namespace voxelgrad::cuda

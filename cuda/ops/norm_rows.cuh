// Layer norm: a sample is one row with one group of channels. A team of neighbouring threads loads
// a row once and goes over it in registers; what does not fit there comes from the cache again.
#pragma once

#include "cuda/core/teams.hpp"
#include "cuda/ops/norm_terms.cuh"

namespace voxelgrad::cuda {

constexpr std::int64_t longest_row = 1 << 14;  // longer ones are shared by several blocks

// The packs of a row that a thread of a team works on: the first `held` of them stay in registers.
template <int width>
struct RowPacks {
    static constexpr int held = width == 1 ? 8 : 4;
    int first, step, end;

    __device__ RowPacks(const Teams& teams, std::int64_t channels)
        : first(teams.member()),
          step(teams.size),
          end(teams.job() < teams.jobs ? static_cast<int>(channels / width) : 0) {}

    // Calls body(i, channel) for each of them; i is `held` for those that are not held.
    template <class Body>
    __device__ void for_each(const Body& body) const {
        VOXELGRAD_UNROLL
        for (int i = 0; i < held; ++i)
            if (first + i * step < end) body(i, (first + i * step) * width);
        for (int pack = first + held * step; pack < end; pack += step) body(held, pack * width);
    }
};

template <int width, class T>
class HeldRow {
 public:
    __device__ HeldRow(const RowPacks<width>& packs, const T* row) : row_(row) {
        VOXELGRAD_UNROLL
        for (int i = 0; i < held; ++i)
            if (packs.first + i * packs.step < packs.end)
                pack_[i] = load_pack<width>(row + (packs.first + i * packs.step) * width);
    }
    __device__ Pack<T, width> get(int i, int channel) const {
        return i < held ? pack_[i] : load_pack<width>(row_ + channel);
    }

 private:
    static constexpr int held = RowPacks<width>::held;
    const T* row_;
    Pack<T, width> pack_[held];
};

// The factors of a pack of a row.
template <int width>
__device__ NormFactors<width> row_factors(const NormAffine& affine, int channel, float mean,
                                          float invstd) {
    NormFactors<width> factors;
    factors.set_affine(affine, channel);
    VOXELGRAD_UNROLL
    for (int i = 0; i < width; ++i) {
        factors.mean[i] = mean;
        factors.invstd[i] = invstd;
    }
    return factors;
}

// `given`: mean and invstd are there; else they are computed. y may be x.
template <int width, bool given, class T, class Statistic>
__global__ void __launch_bounds__(block_threads)
    row_norm_kernel(Teams teams, std::int64_t channels, NormAffine affine, const T* x, T* y,
                    Statistic* mean, Statistic* invstd, float eps) {
    VOXELGRAD_SHARED(memory, float[block_threads]);
    const RowPacks<width> packs(teams, channels);
    const bool exists = teams.job() < teams.jobs;
    const std::int64_t row = exists ? teams.job() : 0, begin = row * channels;
    const HeldRow<width, T> held(packs, x + begin);
    float centre = 0.0f, inverse = 0.0f;
    if constexpr (given) {
        centre = mean[row];
        inverse = invstd[row];
    } else {
        // From the first element on, so that values far from zero lose nothing.
        const float first = to_float(x[begin]), count = static_cast<float>(channels);
        float sum = 0.0f, square = 0.0f;
        packs.for_each([&](int i, int channel) {
            const auto pack = held.get(i, channel);
            VOXELGRAD_UNROLL
            for (int e = 0; e < width; ++e) sum += to_float(pack.value[e]) - first;
        });
        centre = first + teams.sum(memory, sum) / count;
        packs.for_each([&](int i, int channel) {
            const auto pack = held.get(i, channel);
            VOXELGRAD_UNROLL
            for (int e = 0; e < width; ++e) {
                const float d = to_float(pack.value[e]) - centre;
                square = fmaf(d, d, square);
            }
        });
        inverse = 1.0f / sqrtf(teams.sum(memory, square) / count + eps);
        if (exists && teams.member() == 0) {
            mean[row] = centre;
            invstd[row] = inverse;
        }
    }
    packs.for_each([&](int i, int channel) {
        const auto factors = row_factors<width>(affine, channel, centre, inverse);
        const auto pack = held.get(i, channel);
        float result[width];
        VOXELGRAD_UNROLL
        for (int e = 0; e < width; ++e)
            result[e] =
                activated(affine, factors.before_activation(e, to_float(pack.value[e]) - centre));
        store_rounded(result, y + begin + channel);
    });
}

// The gradient of the input, through the statistics too; result may be grad. Formula:
// statistics_gradient_kernel.
template <int width, class T>
__global__ void __launch_bounds__(block_threads)
    row_gradient_kernel(Teams teams, std::int64_t channels, NormAffine affine, const T* grad,
                        const T* x, const float* mean, const float* invstd, T* result) {
    VOXELGRAD_SHARED(memory, float[block_threads]);
    const RowPacks<width> packs(teams, channels);
    const std::int64_t row = teams.job() < teams.jobs ? teams.job() : 0, begin = row * channels;
    const HeldRow<width, T> given(packs, grad + begin), held(packs, x + begin);
    const float centre = mean[row], inverse = invstd[row];
    // Calls body(channel, h, centred) with the parts of each pack.
    const auto for_gradients = [&](const auto& body) {
        packs.for_each([&](int i, int channel) {
            const auto factors = row_factors<width>(affine, channel, centre, inverse);
            const auto g = given.get(i, channel), pack = held.get(i, channel);
            float h[width], centred[width];
            VOXELGRAD_UNROLL
            for (int e = 0; e < width; ++e) {
                centred[e] = to_float(pack.value[e]) - centre;
                h[e] = through_activation(affine, to_float(g.value[e]),
                                          factors.before_activation(e, centred[e])) *
                       factors.weight[e];
            }
            body(channel, h, centred);
        });
    };
    float sum = 0.0f, product = 0.0f;
    for_gradients([&](int, const float (&h)[width], const float (&centred)[width]) {
        VOXELGRAD_UNROLL
        for (int e = 0; e < width; ++e) {
            sum += h[e];
            product = fmaf(h[e], centred[e], product);
        }
    });
    sum = teams.sum(memory, sum);
    product = teams.sum(memory, product);
    const float share = inverse / static_cast<float>(channels);
    const float slope = -share * inverse * inverse * product, offset = -share * sum;
    for_gradients([&](int channel, const float (&h)[width], const float (&centred)[width]) {
        float values[width];
        VOXELGRAD_UNROLL
        for (int e = 0; e < width; ++e)
            values[e] = fmaf(h[e], inverse, fmaf(centred[e], slope, offset));
        store_rounded(values, result + begin + channel);
    });
}

template <int width>
Teams row_teams(const NormProblem& problem) {
    return Teams(problem.samples, problem.channels / width, RowPacks<width>::held);
}

// Statistic: const float if they are given.
template <bool given, class T, class Statistic>
void row_norm(const char* op, Stream stream, const NormProblem& problem, const T* x,
              const NormAffine& affine, T* y, Statistic* mean, Statistic* invstd, float eps) {
    const bool in_packs = packs_fit<T>(problem.channels, x, y, affine.weight, affine.bias);
    const Teams teams = in_packs ? row_teams<full_width<T>>(problem) : row_teams<1>(problem);
    launch(op, stream, teams.grid(),
           in_packs ? row_norm_kernel<full_width<T>, given, T, Statistic>
                    : row_norm_kernel<1, given, T, Statistic>,
           teams, problem.channels, affine, x, y, mean, invstd, eps);
}

template <class T>
void row_gradient(const char* op, Stream stream, const NormProblem& problem, const T* grad,
                  const T* x, const NormAffine& affine, const float* mean, const float* invstd,
                  T* result) {
    const bool in_packs =
        packs_fit<T>(problem.channels, grad, x, result, affine.weight, affine.bias);
    const Teams teams = in_packs ? row_teams<full_width<T>>(problem) : row_teams<1>(problem);
    launch(op, stream, teams.grid(),
           in_packs ? row_gradient_kernel<full_width<T>, T> : row_gradient_kernel<1, T>, teams,
           problem.channels, affine, grad, x, mean, invstd, result);
}

}  // namespace voxelgrad::cuda

#include "kernels/norm.hpp"

#include "kernels/simd.hpp"

namespace voxelgrad::VOXELGRAD_ISA {
namespace {

// Sums are kept in double: as many lanes as half a vector of float.
constexpr int half = lanes / 2;
typedef float HalfVec __attribute__((vector_size(half * 4), aligned(4), may_alias));
typedef double DoubleVec __attribute__((vector_size(half * 8)));
typedef double DoubleUnaligned __attribute__((vector_size(half * 8), aligned(8), may_alias));

[[gnu::always_inline]] inline DoubleVec load_double(const float* p) {
    return __builtin_convertvector(*reinterpret_cast<const HalfVec*>(p), DoubleVec);
}
[[gnu::always_inline]] inline void store_double(double* p, DoubleVec v) {
    *reinterpret_cast<DoubleUnaligned*>(p) = v;
}

// Columns that one sweep over the rows keeps in registers.
constexpr int most_parts = lanes == 16 ? 8 : 4;

template <int parts>
void moments_of_columns(const float* x, std::int64_t rows, std::int64_t period, double* sum,
                        double* square) {
    DoubleVec s[parts] = {}, q[parts] = {};
    for (std::int64_t row = 0; row < rows; ++row, x += period)
        for (int p = 0; p < parts; ++p) {
            const DoubleVec v = load_double(x + p * half);
            s[p] += v;
            q[p] += v * v;
        }
    for (int p = 0; p < parts; ++p) {
        store_double(sum + p * half, s[p]);
        store_double(square + p * half, q[p]);
    }
}

void moments(const float* x, std::int64_t count, std::int64_t period, double* sum, double* square) {
    const std::int64_t rows = count / period, rest = count % period;
    std::int64_t c = 0;
    for (; c + most_parts * half <= period; c += most_parts * half)
        moments_of_columns<most_parts>(x + c, rows, period, sum + c, square + c);
    for (; c + half <= period; c += half)
        moments_of_columns<1>(x + c, rows, period, sum + c, square + c);
    for (; c < period; ++c) {
        sum[c] = square[c] = 0.0;
        for (std::int64_t row = 0; row < rows; ++row) {
            const double v = x[row * period + c];
            sum[c] += v;
            square[c] += v * v;
        }
    }
    for (c = 0; c < rest; ++c) {
        const double v = x[rows * period + c];
        sum[c] += v;
        square[c] += v * v;
    }
}

template <int parts>
void gradient_sums_of_columns(const float* grad, const float* x, const float* mean,
                              std::int64_t rows, std::int64_t period, double* sum,
                              double* product) {
    DoubleVec s[parts] = {}, q[parts] = {}, centre[parts];
    for (int p = 0; p < parts; ++p) centre[p] = load_double(mean + p * half);
    for (std::int64_t row = 0; row < rows; ++row, x += period, grad += period)
        for (int p = 0; p < parts; ++p) {
            const DoubleVec g = load_double(grad + p * half);
            s[p] += g;
            q[p] += g * (load_double(x + p * half) - centre[p]);
        }
    for (int p = 0; p < parts; ++p) {
        store_double(sum + p * half, s[p]);
        store_double(product + p * half, q[p]);
    }
}

void gradient_sums(const float* grad, const float* x, const float* mean, std::int64_t count,
                   std::int64_t period, double* sum, double* product) {
    const std::int64_t rows = count / period, rest = count % period;
    std::int64_t c = 0;
    for (; c + most_parts * half <= period; c += most_parts * half)
        gradient_sums_of_columns<most_parts>(grad + c, x + c, mean + c, rows, period, sum + c,
                                             product + c);
    for (; c + half <= period; c += half)
        gradient_sums_of_columns<1>(grad + c, x + c, mean + c, rows, period, sum + c, product + c);
    for (; c < period; ++c) {
        sum[c] = product[c] = 0.0;
        for (std::int64_t i = c; i < rows * period; i += period) {
            sum[c] += grad[i];
            product[c] += grad[i] * (static_cast<double>(x[i]) - mean[c]);
        }
    }
    for (c = 0; c < rest; ++c) {
        const std::int64_t i = rows * period + c;
        sum[c] += grad[i];
        product[c] += grad[i] * (static_cast<double>(x[i]) - mean[c]);
    }
}

template <bool past_cache>
[[gnu::always_inline]] inline void put(float* p, Vec v) {
    if constexpr (past_cache)
        stream(p, v);
    else
        store(p, v);
}

template <bool past_cache>
void normalise_rows(const float* x, const float* mean, const float* scale, const float* shift,
                    float* y, std::int64_t count, std::int64_t period) {
    for (std::int64_t left = count; left > 0; left -= period, x += period, y += period) {
        const std::int64_t n = left < period ? left : period;
        std::int64_t c = 0;
        for (; c + lanes <= n; c += lanes) {
            const Vec centred = load(x + c) - load(mean + c);
            put<past_cache>(y + c, centred * load(scale + c) + load(shift + c));
        }
        for (; c < n; ++c) y[c] = (x[c] - mean[c]) * scale[c] + shift[c];
    }
    if (past_cache) stream_fence();
}

void normalise(const float* x, const float* mean, const float* scale, const float* shift, float* y,
               std::int64_t count, std::int64_t period, bool past_cache) {
    const auto rows = past_cache ? normalise_rows<true> : normalise_rows<false>;
    rows(x, mean, scale, shift, y, count, period);
}

template <bool past_cache>
void input_gradient_rows(const float* grad, const float* x, const float* mean, const float* scale,
                         const float* slope, const float* shift, float* result, std::int64_t count,
                         std::int64_t period) {
    for (std::int64_t left = count; left > 0; left -= period) {
        const std::int64_t n = left < period ? left : period;
        std::int64_t c = 0;
        for (; c + lanes <= n; c += lanes) {
            const Vec through_mean = (load(x + c) - load(mean + c)) * load(slope + c);
            put<past_cache>(result + c,
                            load(grad + c) * load(scale + c) + (through_mean + load(shift + c)));
        }
        for (; c < n; ++c)
            result[c] = grad[c] * scale[c] + ((x[c] - mean[c]) * slope[c] + shift[c]);
        grad += period;
        x += period;
        result += period;
    }
    if (past_cache) stream_fence();
}

void input_gradient(const float* grad, const float* x, const float* mean, const float* scale,
                    const float* slope, const float* shift, float* result, std::int64_t count,
                    std::int64_t period, bool past_cache) {
    const auto rows = past_cache ? input_gradient_rows<true> : input_gradient_rows<false>;
    rows(grad, x, mean, scale, slope, shift, result, count, period);
}

}  // namespace

extern const NormKernels norm = {moments, gradient_sums, normalise, input_gradient};

}  // namespace voxelgrad::VOXELGRAD_ISA

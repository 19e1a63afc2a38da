#include "kernels/norm.hpp"

#include "kernels/activation_functions.hpp"
#include "kernels/wide.hpp"

namespace voxelgrad::VOXELGRAD_ISA {
namespace {

constexpr std::int64_t run = 32;      // rows summed in float; then the sum goes on in double
constexpr std::int64_t sampled = 16;  // rows whose mean the moments are taken around

// Vectors of columns that a sweep over the rows keeps in registers: with two and with five numbers
// for each.
constexpr int many = lanes == 16 ? 8 : 4;
constexpr int few = lanes == 16 ? 4 : 2;

[[gnu::always_inline]] inline std::int64_t lesser(std::int64_t a, std::int64_t b) {
    return a < b ? a : b;
}

// Calls body.template operator()<vectors>(c, n): `most` whole vectors of columns at a time, then
// single ones of n columns.
template <int most, class Body>
[[gnu::always_inline]] inline void for_column_blocks(std::int64_t columns, Body body) {
    std::int64_t c = 0;
    for (; c + most * lanes <= columns; c += most * lanes)
        body.template operator()<most>(c, static_cast<std::int64_t>(lanes));
    for (; c < columns; c += lanes) body.template operator()<1>(c, lesser(columns - c, lanes));
}

[[gnu::always_inline]] inline void add_lanes(double* total, Vec v, std::int64_t n) {
    if (n < lanes) {
        for (int i = 0; i < n; ++i) total[i] += static_cast<double>(v[i]);
        return;
    }
    HalfVec halves[2];
    std::memcpy(halves, &v, sizeof v);
    store_wide(total, load_wide(total) + widen(halves[0]));
    store_wide(total + wide_lanes, load_wide(total + wide_lanes) + widen(halves[1]));
}

template <class Body>
[[gnu::always_inline]] inline void for_runs(std::int64_t rows, Body body) {
    for (std::int64_t begin = 0; begin < rows; begin += run) body(begin, lesser(begin + run, rows));
}

// From sums of d = x - k over `rows` rows: sum x = sum d + rows k and
// sum x^2 = sum d^2 + 2 k sum d + rows k^2.
void uncentre(const float* centre, std::int64_t columns, double rows, double* sum, double* square) {
    for (std::int64_t c = 0; c < columns; ++c) {
        const double k = centre[c];
        square[c] += k * (2.0 * sum[c] + rows * k);
        sum[c] += rows * k;
    }
}

template <int vectors, class T>
[[gnu::always_inline]] inline void moments_of_columns(const T* x, std::int64_t n, std::int64_t rows,
                                                      std::int64_t period, double* sum,
                                                      double* square) {
    const std::int64_t first = lesser(rows, sampled);
    Vec centre[vectors] = {};
    for (std::int64_t row = 0; row < first; ++row)
        for (int p = 0; p < vectors; ++p) centre[p] += load_some(x + row * period + p * lanes, n);
    for (int p = 0; p < vectors; ++p) centre[p] *= 1.0f / static_cast<float>(first);
    for_runs(rows, [&](std::int64_t begin, std::int64_t end) __attribute__((always_inline)) {
        Vec s[vectors] = {}, q[vectors] = {};
        for (std::int64_t row = begin; row < end; ++row)
            for (int p = 0; p < vectors; ++p) {
                const Vec d = load_some(x + row * period + p * lanes, n) - centre[p];
                s[p] += d;
                q[p] += d * d;
            }
        for (int p = 0; p < vectors; ++p) {
            add_lanes(sum + p * lanes, s[p], n);
            add_lanes(square + p * lanes, q[p], n);
        }
    });
    float stored[vectors * lanes];
    for (int p = 0; p < vectors; ++p) store(stored + p * lanes, centre[p]);
    uncentre(stored, (vectors - 1) * lanes + n, static_cast<double>(rows), sum, square);
}

void clear(double* first, double* second, std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) first[i] = second[i] = 0.0;
}

template <class T>
void moments(const T* x, std::int64_t count, std::int64_t period, double* sum, double* square) {
    const std::int64_t rows = count / period, rest = count % period;
    clear(sum, square, period);
    for_column_blocks<many>(
        rows > 0 ? period : 0, [=]<int vectors>(std::int64_t c, std::int64_t n) {
            moments_of_columns<vectors>(x + c, n, rows, period, sum + c, square + c);
        });
    for (std::int64_t c = 0; c < rest; ++c) {
        const double v = voxelgrad::to_float(x[rows * period + c]);
        sum[c] += v;
        square[c] += v * v;
    }
}

template <NormActivation activation>
[[gnu::always_inline]] inline Vec activated(Vec pre, Vec alpha) {
    if constexpr (activation == NormActivation::relu) return value<Activation::relu>(pre, alpha);
    if constexpr (activation == NormActivation::leaky_relu)
        return value<Activation::leaky_relu>(pre, alpha);
    return pre;
}

template <NormActivation activation>
[[gnu::always_inline]] inline Vec through_activation(Vec grad, Vec pre, Vec alpha) {
    if constexpr (activation == NormActivation::relu)
        return grad * slope<Activation::relu>(pre, alpha);
    if constexpr (activation == NormActivation::leaky_relu)
        return grad * slope<Activation::leaky_relu>(pre, alpha);
    return grad;
}

// What the activation gets. One function, so that every pass sees the same sign.
[[gnu::always_inline]] inline Vec affine(Vec centred, Vec scale, Vec shift) {
    return centred * scale + shift;
}

// Calls function.template operator()<activation>().
template <class Function>
void with_activation(NormActivation activation, Function function) {
    switch (activation) {
        case NormActivation::identity:
            return function.template operator()<NormActivation::identity>();
        case NormActivation::relu: return function.template operator()<NormActivation::relu>();
        case NormActivation::leaky_relu:
            return function.template operator()<NormActivation::leaky_relu>();
    }
}

template <NormActivation activation, int vectors, class T>
[[gnu::always_inline]] inline void gradient_sums_of_columns(const T* grad, const T* x,
                                                            const NormMap& map, std::int64_t c,
                                                            std::int64_t n, std::int64_t rows,
                                                            std::int64_t period, double* sum,
                                                            double* product) {
    const Vec alpha = splat(map.alpha);
    Vec mean[vectors], scale[vectors], shift[vectors];
    for (int p = 0; p < vectors; ++p) {
        mean[p] = load_some(map.mean + c + p * lanes, n);
        scale[p] = load_some(map.scale + c + p * lanes, n);
        shift[p] = load_some(map.shift + c + p * lanes, n);
    }
    for_runs(rows, [&](std::int64_t begin, std::int64_t end) __attribute__((always_inline)) {
        Vec s[vectors] = {}, q[vectors] = {};
        for (std::int64_t row = begin; row < end; ++row)
            for (int p = 0; p < vectors; ++p) {
                const std::int64_t i = row * period + c + p * lanes;
                const Vec centred = load_some(x + i, n) - mean[p];
                const Vec pre = affine(centred, scale[p], shift[p]);
                const Vec g = through_activation<activation>(load_some(grad + i, n), pre, alpha);
                s[p] += g;
                q[p] += g * centred;
            }
        for (int p = 0; p < vectors; ++p) {
            add_lanes(sum + c + p * lanes, s[p], n);
            add_lanes(product + c + p * lanes, q[p], n);
        }
    });
}

template <class T>
void gradient_sums(const T* grad, const T* x, const NormMap& map, std::int64_t count,
                   std::int64_t period, double* sum, double* product) {
    const std::int64_t rows = count / period, rest = count % period, last = rows * period;
    clear(sum, product, period);
    with_activation(map.activation, [&]<NormActivation activation>() {
        for_column_blocks<few>(period, [&]<int vectors>(std::int64_t c, std::int64_t n) {
            gradient_sums_of_columns<activation, vectors>(grad, x, map, c, n, rows, period, sum,
                                                          product);
        });
        for_column_blocks<few>(rest, [&]<int vectors>(std::int64_t c, std::int64_t n) {
            gradient_sums_of_columns<activation, vectors>(grad + last, x + last, map, c, n, 1,
                                                          period, sum, product);
        });
    });
}

// Calls body(first, n) for every row: it has n values from `first`.
template <class Body>
[[gnu::always_inline]] inline void for_rows(std::int64_t count, std::int64_t period, Body body) {
    for (std::int64_t first = 0; first < count; first += period)
        body(first, lesser(count - first, period));
}

template <class T>
void normalise(const T* x, const NormMap& map, T* y, std::int64_t count, std::int64_t period,
               bool past_cache) {
    const Vec alpha = splat(map.alpha);
    const float *mean = map.mean, *scale = map.scale, *shift = map.shift;
    with_activation(map.activation, [=]<NormActivation activation>() {
        for_rows(count, period, [=](std::int64_t first, std::int64_t columns) {
            for_each_vector(columns, [=](std::int64_t c, int n) __attribute__((always_inline)) {
                const Vec centred = load_some(x + first + c, n) - load_some(mean + c, n);
                const Vec pre = affine(centred, load_some(scale + c, n), load_some(shift + c, n));
                put_some(y + first + c, activated<activation>(pre, alpha), n, past_cache);
            });
        });
    });
    if (past_cache) stream_fence();
}

template <class T>
void input_gradient(const T* grad, const T* x, const NormMap& map, const float* slope,
                    const float* offset, T* result, std::int64_t count, std::int64_t period,
                    bool past_cache) {
    const Vec alpha = splat(map.alpha);
    const float *mean = map.mean, *scale = map.scale, *shift = map.shift;
    with_activation(map.activation, [=]<NormActivation activation>() {
        for_rows(count, period, [=](std::int64_t first, std::int64_t columns) {
            for_each_vector(columns, [=](std::int64_t c, int n) __attribute__((always_inline)) {
                const Vec centred = load_some(x + first + c, n) - load_some(mean + c, n);
                const Vec factor = load_some(scale + c, n);
                const Vec pre = affine(centred, factor, load_some(shift + c, n));
                const Vec g =
                    through_activation<activation>(load_some(grad + first + c, n), pre, alpha);
                const Vec through_mean = centred * load_some(slope + c, n);
                put_some(result + first + c, g * factor + (through_mean + load_some(offset + c, n)),
                         n, past_cache);
            });
        });
    });
    if (past_cache) stream_fence();
}

}  // namespace

extern const NormKernels<float> norm_float = {moments<float>, gradient_sums<float>,
                                              normalise<float>, input_gradient<float>};
extern const NormKernels<bf16> norm_bf16 = {moments<bf16>, gradient_sums<bf16>, normalise<bf16>,
                                            input_gradient<bf16>};

}  // namespace voxelgrad::VOXELGRAD_ISA

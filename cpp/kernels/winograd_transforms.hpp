// Winograd's transforms of one line or tile of vectors, for *.isa.cpp files.
#pragma once

#include "kernels/simd.hpp"
#include "kernels/winograd.hpp"

namespace voxelgrad::VOXELGRAD_ISA {
namespace {

// F(tile, taps) of one line.
struct Filter {
    int tile, taps = winograd_kernel;
};

// The finite points other than 0, +-sqrt(square), and whether infinity is one: a form has as many
// points as its patch has pixels on a side.
template <Filter filter>
struct Points;
template <>
struct Points<Filter{2}> {
    static constexpr bool infinity = true;
    static constexpr int pairs = 1;
    static constexpr double squares[] = {1.0};
    static constexpr double roots[] = {1.0};
};
template <>
struct Points<Filter{4}> {
    static constexpr bool infinity = true;
    static constexpr int pairs = 2;
    static constexpr double squares[] = {0.5, 2.0};
    static constexpr double roots[] = {0.70710678118654752, 1.41421356237309505};
};
template <>
struct Points<Filter{6}> {
    static constexpr bool infinity = true;
    static constexpr int pairs = 3;
    static constexpr double squares[] = {0.25, 1.0, 4.0};
    static constexpr double roots[] = {0.5, 1.0, 2.0};
};
template <>
struct Points<Filter{5}> : Points<Filter{6}> {
    static constexpr bool infinity = false;
};
template <>
struct Points<Filter{6, 2}> : Points<Filter{5}> {};

// The matrices of a form follow from its points; s is the square of the variable.
template <Filter filter>
struct Form : Points<filter> {
    using Points<filter>::pairs, Points<filter>::squares;
    static constexpr int size = filter.tile + filter.taps - 1;
    static_assert(size == 2 * pairs + 1 + Points<filter>::infinity);

    double products[pairs + 1][pairs + 1];  // of s - square over all pairs but one; [pairs]: of all
    double scales[pairs];                   // what G multiplies the rows of a pair by
    double powers[pairs][pairs];            // of the squares

    constexpr Form() : products{}, scales{}, powers{} {
        for (int without = 0; without <= pairs; ++without) {
            double* product = products[without];
            product[0] = 1.0;
            for (int k = 0, degree = 0; k < pairs; ++k) {
                if (k == without) continue;
                product[++degree] = 1.0;
                for (int i = degree - 1; i >= 0; --i)
                    product[i] = (i > 0 ? product[i - 1] : 0.0) - squares[k] * product[i];
            }
        }
        for (int pair = 0; pair < pairs; ++pair) {
            double scale = 2.0 * squares[pair], power = 1.0;
            for (int k = 0; k < pairs; ++k) {
                if (k != pair) scale *= squares[pair] - squares[k];
                powers[pair][k] = power;
                power *= squares[pair];
            }
            scales[pair] = 1.0 / scale;
        }
    }
};
template <Filter filter>
constexpr Form<filter> form{};

// Known when compiled. Additions go through units of their own on some processors.
[[gnu::always_inline]] inline Vec multiply_add(double factor, Vec v, Vec sum) {
    if (factor == 1.0) return sum + v;
    if (factor == -1.0) return sum - v;
    return multiply_add(splat(static_cast<float>(factor)), v, sum);
}
[[gnu::always_inline]] inline Vec multiply(double factor, Vec v) {
    return factor == 1.0 ? v : splat(static_cast<float>(factor)) * v;
}

// Each transform maps a line of vectors to a line of vectors. Results that share sums come in
// groups: number i of a group is row(group, i), -1 where there is none. Fused operations are spelt
// out, so that a tile's result does not depend on how it is stored.

// The rows of 0 and infinity, and those of each pair of points.
template <Filter filter>
struct PointRows {
    static constexpr int to = Form<filter>::size, groups = Form<filter>::pairs + 1, most = 2;
    static constexpr int row(int group, int i) {
        if (group > 0) return 2 * group - 1 + i;
        return i == 0 ? 0 : Form<filter>::infinity ? to - 1 : -1;
    }
    [[gnu::always_inline]] static void split(double point, Vec even, Vec odd, Vec* t) {
        t[0] = multiply_add(point, odd, even);
        t[1] = multiply_add(-point, odd, even);
    }
};

template <Filter filter>
struct InputTransform : PointRows<filter> {  // B^T
    using F = Form<filter>;
    static constexpr int from = F::size;
    template <int group>
    [[gnu::always_inline]] static void apply(const Vec* d, Vec* t) {
        if constexpr (group == 0) {
            // The product's constant term is 1 or -1, and G has no sign in the row of 0.
            Vec zero = d[0], infinity = F::infinity ? d[from - 1] : Vec{};
#pragma GCC unroll 4
            for (int i = 0; i < F::pairs; ++i) {
                zero = multiply_add(
                    form<filter>.products[F::pairs][0] * form<filter>.products[F::pairs][i + 1],
                    d[2 * i + 2], zero);
                infinity = multiply_add(form<filter>.products[F::pairs][i], d[2 * i + 1], infinity);
            }
            t[0] = zero;
            t[1] = infinity;
        } else {
            constexpr int pair = group - 1;
            Vec even = d[2 * F::pairs], odd = d[2 * F::pairs - 1];
#pragma GCC unroll 4
            for (int i = 0; i < F::pairs - 1; ++i) {
                even = multiply_add(form<filter>.products[pair][i], d[2 * i + 2], even);
                odd = multiply_add(form<filter>.products[pair][i], d[2 * i + 1], odd);
            }
            PointRows<filter>::split(F::roots[pair], even, odd, t);
        }
    }
};

template <Filter filter>
struct WeightTransform : PointRows<filter> {  // G
    using F = Form<filter>;
    static constexpr int from = filter.taps;
    template <int group>
    [[gnu::always_inline]] static void apply(const Vec* g, Vec* t) {
        if constexpr (group == 0) {
            t[0] = g[0];
            t[1] = g[from - 1];
        } else {
            constexpr int pair = group - 1;
            Vec even = g[0];
            if constexpr (from > 2) even = multiply_add(F::squares[pair], g[2], even);
            even = multiply(form<filter>.scales[pair], even);
            PointRows<filter>::split(form<filter>.scales[pair] * F::roots[pair], even, g[1], t);
        }
    }
};

template <Filter filter>
struct GradientTransform : PointRows<filter> {  // A
    using F = Form<filter>;
    static constexpr int from = filter.tile, tile = filter.tile;
    template <int group>
    [[gnu::always_inline]] static void apply(const Vec* y, Vec* t) {
        if constexpr (group == 0) {
            t[0] = y[0];
            t[1] = y[tile - 1];
        } else {
            constexpr int pair = group - 1;
            Vec even = y[(tile - 1) / 2 * 2], odd = y[tile / 2 * 2 - 1];
#pragma GCC unroll 4
            for (int i = (tile - 1) / 2 * 2 - 2; i >= 0; i -= 2)
                even = multiply_add(F::squares[pair], even, y[i]);
#pragma GCC unroll 4
            for (int i = tile / 2 * 2 - 3; i >= 0; i -= 2)
                odd = multiply_add(F::squares[pair], odd, y[i]);
            PointRows<filter>::split(F::roots[pair], even, odd, t);
        }
    }
};

// The sums over the points that the even rows share, and the differences that the odd ones share.
template <Filter filter>
struct OutputTransform {  // A^T
    using F = Form<filter>;
    static constexpr int from = F::size, to = filter.tile, groups = 2, most = (to + 1) / 2;
    static constexpr int row(int group, int i) { return 2 * i + group < to ? 2 * i + group : -1; }
    template <int group>
    [[gnu::always_inline]] static void apply(const Vec* m, Vec* t) {
        Vec shared[F::pairs];
#pragma GCC unroll 4
        for (int k = 0; k < F::pairs; ++k)
            shared[k] = group == 0 ? m[2 * k + 1] + m[2 * k + 2] : m[2 * k + 1] - m[2 * k + 2];
#pragma GCC unroll 4
        for (int i = 0; i < most; ++i) {
            const auto factor = [&](int k) {
                return form<filter>.powers[k][i] * (group == 0 ? 1.0 : F::roots[k]);
            };
            constexpr int first = F::pairs / 2;  // the points nearest to 1
            Vec sum = multiply(factor(first), shared[first]);
            if (group == 0 && i == 0) sum = m[0] + shared[first];
            if (F::infinity && row(group, i) == to - 1)
                sum = multiply_add(factor(first), shared[first], m[from - 1]);
#pragma GCC unroll 4
            for (int k = 0; k < F::pairs; ++k)
                if (k != first) sum = multiply_add(factor(k), shared[k], sum);
            t[i] = sum;
        }
    }
};

template <Filter filter>
struct WeightGradientTransform {  // G^T
    using F = Form<filter>;
    static constexpr int from = F::size, to = filter.taps, groups = 2, most = 2;
    static constexpr int row(int group, int i) { return 2 * i + group < to ? 2 * i + group : -1; }
    template <int group>
    [[gnu::always_inline]] static void apply(const Vec* m, Vec* t) {
        if constexpr (group == 0) {
            t[0] = m[0];
            t[1] = F::infinity ? m[from - 1] : Vec{};
#pragma GCC unroll 4
            for (int k = 0; k < F::pairs; ++k) {
                const Vec even = m[2 * k + 1] + m[2 * k + 2];
                t[0] = multiply_add(form<filter>.scales[k], even, t[0]);
                t[1] = multiply_add(form<filter>.scales[k] * F::squares[k], even, t[1]);
            }
        } else {
            t[0] = multiply(form<filter>.scales[0] * F::roots[0], m[1] - m[2]);
#pragma GCC unroll 4
            for (int k = 1; k < F::pairs; ++k)
                t[0] = multiply_add(form<filter>.scales[k] * F::roots[k],
                                    m[2 * k + 1] - m[2 * k + 2], t[0]);
        }
    }
};

// Vectors in rows and columns.
template <class T>
struct VectorGrid {
    T* data;
    std::int64_t row_stride, column_stride;
};

// Hides where a pointer comes from: otherwise the compiler keeps the address of every vector on the
// stack.
template <class T>
[[gnu::always_inline]] inline T* opaque(T* pointer) {
    asm("" : "+r"(pointer));
    return pointer;
}

template <class Transform, int group, class T, class Put>
[[gnu::always_inline]] inline void transform_row(const Vec* line, T* row, std::int64_t stride,
                                                 Put put) {
    if constexpr (group < Transform::groups) {
        Vec values[Transform::most];
        Transform::template apply<group>(line, values);
#pragma GCC unroll 4
        for (int i = 0; i < Transform::most; ++i)
            if (Transform::row(group, i) >= 0)
                put(row + Transform::row(group, i) * stride, values[i]);
        transform_row<Transform, group + 1>(line, row, stride, put);
    }
}

template <class Transform, int group, class From, class To, class Put>
[[gnu::always_inline]] inline void transform_groups(const VectorGrid<From>& from,
                                                    const VectorGrid<To>& to, Put put) {
    if constexpr (group < Transform::groups) {
        Vec part[Transform::most][Transform::from];
#pragma GCC unroll 8
        for (int column = 0; column < Transform::from; ++column) {
            From* const top = opaque(from.data + column * from.column_stride);
            Vec line[Transform::from], values[Transform::most];
#pragma GCC unroll 8
            for (int row = 0; row < Transform::from; ++row)
                line[row] = load(top + row * from.row_stride);
            Transform::template apply<group>(line, values);
#pragma GCC unroll 4
            for (int i = 0; i < Transform::most; ++i) part[i][column] = values[i];
        }
#pragma GCC unroll 4
        for (int i = 0; i < Transform::most; ++i)
            if (const int row = Transform::row(group, i); row >= 0)
                transform_row<Transform, 0>(part[i], opaque(to.data + row * to.row_stride),
                                            to.column_stride, put);
        transform_groups<Transform, group + 1>(from, to, put);
    }
}

// Transforms the columns and rows of a tile; put(address, vector) stores. Columns are transformed
// for one group of rows after the other: a whole tile between the two passes would not fit into
// registers. A function of its own: in a loop over channels fewer registers are left for addresses.
template <class Transform, class From, class To, class Put>
[[gnu::noinline]] void transform_tile(VectorGrid<From> from, VectorGrid<To> to, Put put) {
    transform_groups<Transform, 0>(from, to, put);
}

}  // namespace
}  // namespace voxelgrad::VOXELGRAD_ISA

#include "kernels/winograd.hpp"

#include "kernels/conv_direct.hpp"
#include "kernels/simd.hpp"

namespace voxelgrad::VOXELGRAD_ISA {
namespace {

constexpr int panel = 2 * lanes;
constexpr float a = 0.70710678118654752f, b = 1.41421356237309505f;  // the points +-a and +-b

// Each transform maps a line of vectors to a line of vectors; a tile is transformed along its
// columns and then along its rows.
struct InputTransform {  // B^T
    static constexpr int from = 6, to = 6;
    [[gnu::always_inline]] static void apply(const Vec* d, Vec* t) {
        const Vec even_a = d[4] - 2.0f * d[2], odd_a = a * (d[3] - 2.0f * d[1]);
        const Vec even_b = d[4] - 0.5f * d[2], odd_b = b * (d[3] - 0.5f * d[1]);
        t[0] = d[0] - 2.5f * d[2] + d[4];
        t[1] = even_a + odd_a;
        t[2] = even_a - odd_a;
        t[3] = even_b + odd_b;
        t[4] = even_b - odd_b;
        t[5] = d[1] - 2.5f * d[3] + d[5];
    }
};

struct OutputTransform {  // A^T
    static constexpr int from = 6, to = 4;
    [[gnu::always_inline]] static void apply(const Vec* m, Vec* t) {
        const Vec even_a = m[1] + m[2], odd_a = a * (m[1] - m[2]);
        const Vec even_b = m[3] + m[4], odd_b = b * (m[3] - m[4]);
        t[0] = m[0] + even_a + even_b;
        t[1] = odd_a + odd_b;
        t[2] = 0.5f * even_a + 2.0f * even_b;
        t[3] = 0.5f * odd_a + 2.0f * odd_b + m[5];
    }
};

struct WeightTransform {  // G
    static constexpr int from = 3, to = 6;
    [[gnu::always_inline]] static void apply(const Vec* g, Vec* t) {
        const Vec even_a = g[0] + 0.5f * g[2], odd_a = a * g[1];
        const Vec even_b = g[0] + 2.0f * g[2], odd_b = b * g[1];
        t[0] = g[0];
        t[1] = (-2.0f / 3) * (even_a + odd_a);
        t[2] = (-2.0f / 3) * (even_a - odd_a);
        t[3] = (1.0f / 6) * (even_b + odd_b);
        t[4] = (1.0f / 6) * (even_b - odd_b);
        t[5] = g[2];
    }
};

struct GradientTransform {  // A
    static constexpr int from = 4, to = 6;
    [[gnu::always_inline]] static void apply(const Vec* y, Vec* t) {
        const Vec even_a = y[0] + 0.5f * y[2], odd_a = a * (y[1] + 0.5f * y[3]);
        const Vec even_b = y[0] + 2.0f * y[2], odd_b = b * (y[1] + 2.0f * y[3]);
        t[0] = y[0];
        t[1] = even_a + odd_a;
        t[2] = even_a - odd_a;
        t[3] = even_b + odd_b;
        t[4] = even_b - odd_b;
        t[5] = y[3];
    }
};

struct WeightGradientTransform {  // G^T
    static constexpr int from = 6, to = 3;
    [[gnu::always_inline]] static void apply(const Vec* m, Vec* t) {
        const Vec even_a = (-2.0f / 3) * (m[1] + m[2]), odd_a = (-2.0f / 3 * a) * (m[1] - m[2]);
        const Vec even_b = (1.0f / 6) * (m[3] + m[4]), odd_b = (1.0f / 6 * b) * (m[3] - m[4]);
        t[0] = m[0] + even_a + even_b;
        t[1] = odd_a + odd_b;
        t[2] = 0.5f * even_a + 2.0f * even_b + m[5];
    }
};

// load(row, column) gives the tile, store(row, column, value) takes the transformed one.
template <class Transform, class Load, class Store>
[[gnu::always_inline]] inline void transform_tile(Load load_at, Store store_at) {
    Vec half[Transform::to][Transform::from];
#pragma GCC unroll 6
    for (int column = 0; column < Transform::from; ++column) {
        Vec line[Transform::from], result[Transform::to];
#pragma GCC unroll 6
        for (int row = 0; row < Transform::from; ++row) line[row] = load_at(row, column);
        Transform::apply(line, result);
#pragma GCC unroll 6
        for (int row = 0; row < Transform::to; ++row) half[row][column] = result[row];
    }
#pragma GCC unroll 6
    for (int row = 0; row < Transform::to; ++row) {
        Vec result[Transform::to];
        Transform::apply(half[row], result);
#pragma GCC unroll 6
        for (int column = 0; column < Transform::to; ++column)
            store_at(row, column, result[column]);
    }
}

void input(const float* pixels, std::int64_t row_stride, std::int64_t pixel_stride,
           float* frequencies, std::int64_t stride) {
    for (int c = 0; c < strip_block; c += lanes)
        transform_tile<InputTransform>(
            [&](int row, int column) {
                return load(pixels + row * row_stride + column * pixel_stride + c);
            },
            [&](int row, int column, Vec v) {
                store(frequencies + (row * winograd_patch + column) * stride + c, v);
            });
}

void output(const float* frequencies, std::int64_t stride, const float* bias, float* pixels,
            std::int64_t row_stride, std::int64_t pixel_stride, int rows, int columns,
            int channels) {
    for (int c = 0; c < channels; c += lanes) {
        const Vec start = load(bias + c);
        const int left = channels - c;
        transform_tile<OutputTransform>(
            [&](int row, int column) {
                return load(frequencies + (row * winograd_patch + column) * stride + c);
            },
            [&](int row, int column, Vec v) {
                if (row >= rows || column >= columns) return;
                float* to = pixels + row * row_stride + column * pixel_stride + c;
                if (left >= lanes)
                    store(to, v + start);
                else
                    store_first(to, v + start, left);
            });
    }
}

// A tile of `from` x `from` panels side by side -> frequencies `stride` apart.
template <class Transform>
void panels_to_frequencies(const float* panels, float* frequencies, std::int64_t stride) {
    for (int c = 0; c < panel; c += lanes)
        transform_tile<Transform>(
            [&](int row, int column) {
                return load(panels + (row * Transform::from + column) * panel + c);
            },
            [&](int row, int column, Vec v) {
                store(frequencies + (row * winograd_patch + column) * stride + c, v);
            });
}

void weight_gradient(const float* frequencies, std::int64_t stride, float* taps) {
    for (int c = 0; c < panel; c += lanes)
        transform_tile<WeightGradientTransform>(
            [&](int row, int column) {
                return load(frequencies + (row * winograd_patch + column) * stride + c);
            },
            [&](int row, int column, Vec v) {
                store(taps + (row * winograd_kernel + column) * panel + c, v);
            });
}

}  // namespace

extern const WinogradKernels winograd = {input, output, panels_to_frequencies<WeightTransform>,
                                         panels_to_frequencies<GradientTransform>, weight_gradient};

}  // namespace voxelgrad::VOXELGRAD_ISA

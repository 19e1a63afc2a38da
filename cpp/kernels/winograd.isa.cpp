#include "kernels/winograd.hpp"

#include "kernels/conv_direct.hpp"
#include "kernels/simd.hpp"

namespace voxelgrad::VOXELGRAD_ISA {
namespace {

constexpr int panel = 2 * lanes;

// Each transform maps a line of vectors to a line of vectors; a tile is transformed along its
// columns and then along its rows.
struct InputTransform {  // B^T
    static constexpr int from = 6, to = 6;
    [[gnu::always_inline]] static void apply(const Vec* d, Vec* t) {
        const Vec a = d[4] - 4.0f * d[2], b = d[3] - 4.0f * d[1];
        const Vec c = d[4] - d[2], e = 2.0f * (d[3] - d[1]);
        t[0] = 4.0f * d[0] - 5.0f * d[2] + d[4];
        t[1] = a + b;
        t[2] = a - b;
        t[3] = c + e;
        t[4] = c - e;
        t[5] = 4.0f * d[1] - 5.0f * d[3] + d[5];
    }
};

struct OutputTransform {  // A^T
    static constexpr int from = 6, to = 4;
    [[gnu::always_inline]] static void apply(const Vec* m, Vec* t) {
        const Vec p = m[1] + m[2], q = m[1] - m[2];
        const Vec r = m[3] + m[4], s = m[3] - m[4];
        t[0] = m[0] + p + r;
        t[1] = q + 2.0f * s;
        t[2] = p + 4.0f * r;
        t[3] = q + 8.0f * s + m[5];
    }
};

struct WeightTransform {  // G
    static constexpr int from = 3, to = 6;
    [[gnu::always_inline]] static void apply(const Vec* g, Vec* t) {
        const Vec outer = g[0] + g[2], wide = g[0] + 4.0f * g[2];
        t[0] = 0.25f * g[0];
        t[1] = (-1.0f / 6) * (outer + g[1]);
        t[2] = (-1.0f / 6) * (outer - g[1]);
        t[3] = (1.0f / 24) * (wide + 2.0f * g[1]);
        t[4] = (1.0f / 24) * (wide - 2.0f * g[1]);
        t[5] = g[2];
    }
};

struct GradientTransform {  // A
    static constexpr int from = 4, to = 6;
    [[gnu::always_inline]] static void apply(const Vec* y, Vec* t) {
        const Vec even = y[0] + y[2], odd = y[1] + y[3];
        const Vec even4 = y[0] + 4.0f * y[2], odd8 = 2.0f * y[1] + 8.0f * y[3];
        t[0] = y[0];
        t[1] = even + odd;
        t[2] = even - odd;
        t[3] = even4 + odd8;
        t[4] = even4 - odd8;
        t[5] = y[3];
    }
};

struct WeightGradientTransform {  // G^T
    static constexpr int from = 6, to = 3;
    [[gnu::always_inline]] static void apply(const Vec* m, Vec* t) {
        const Vec p = (-1.0f / 6) * (m[1] + m[2]), q = (-1.0f / 6) * (m[1] - m[2]);
        const Vec r = (1.0f / 24) * (m[3] + m[4]), s = (1.0f / 12) * (m[3] - m[4]);
        t[0] = 0.25f * m[0] + p + r;
        t[1] = q + s;
        t[2] = p + 4.0f * r + m[5];
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

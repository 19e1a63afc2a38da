#include "kernels/winograd.hpp"

#include "kernels/conv_direct.hpp"
#include "kernels/slope.hpp"

namespace voxelgrad::VOXELGRAD_ISA {
namespace {

constexpr int panel = 2 * lanes;
constexpr float a = 0.70710678118654752f, b = 1.41421356237309505f;  // the points +-a and +-b

[[gnu::always_inline]] inline Vec multiply_add(float factor, Vec v, Vec sum) {
    return multiply_add(splat(factor), v, sum);
}

// Each transform maps a line of vectors to a line of vectors. Results that share sums come in
// pairs; `results` says which (-1: none). Fused operations are spelt out, so that a tile's result
// does not depend on how it is stored.
struct InputTransform {  // B^T
    static constexpr int from = 6, to = 6, pairs = 3;
    static constexpr int results[pairs][2] = {{0, 5}, {1, 2}, {3, 4}};
    template <int pair>
    [[gnu::always_inline]] static void apply(const Vec* d, Vec* t) {
        if constexpr (pair == 0) {
            t[0] = multiply_add(-2.5f, d[2], d[0] + d[4]);
            t[1] = multiply_add(-2.5f, d[3], d[1] + d[5]);
        } else {
            constexpr float square = pair == 1 ? 2.0f : 0.5f, point = pair == 1 ? a : b;
            const Vec even = multiply_add(-square, d[2], d[4]);
            const Vec odd = multiply_add(-square, d[1], d[3]);
            t[0] = multiply_add(point, odd, even);
            t[1] = multiply_add(-point, odd, even);
        }
    }
};

struct OutputTransform {  // A^T
    static constexpr int from = 6, to = 4, pairs = 2;
    static constexpr int results[pairs][2] = {{0, 2}, {1, 3}};
    template <int pair>
    [[gnu::always_inline]] static void apply(const Vec* m, Vec* t) {
        if constexpr (pair == 0) {
            const Vec even_a = m[1] + m[2], even_b = m[3] + m[4];
            t[0] = m[0] + even_a + even_b;
            t[1] = multiply_add(0.5f, even_a, 2.0f * even_b);
        } else {
            const Vec odd_a = m[1] - m[2], odd_b = m[3] - m[4];
            t[0] = multiply_add(a, odd_a, b * odd_b);
            t[1] = multiply_add(0.5f * a, odd_a, multiply_add(2.0f * b, odd_b, m[5]));
        }
    }
};

struct WeightTransform {  // G
    static constexpr int from = 3, to = 6, pairs = 3;
    static constexpr int results[pairs][2] = {{0, 5}, {1, 2}, {3, 4}};
    template <int pair>
    [[gnu::always_inline]] static void apply(const Vec* g, Vec* t) {
        if constexpr (pair == 0) {
            t[0] = g[0];
            t[1] = g[2];
        } else {
            constexpr float square = pair == 1 ? 0.5f : 2.0f, point = pair == 1 ? a : b;
            constexpr float scale = pair == 1 ? -2.0f / 3 : 1.0f / 6;
            const Vec even = scale * multiply_add(square, g[2], g[0]);
            t[0] = multiply_add(scale * point, g[1], even);
            t[1] = multiply_add(-scale * point, g[1], even);
        }
    }
};

struct GradientTransform {  // A
    static constexpr int from = 4, to = 6, pairs = 3;
    static constexpr int results[pairs][2] = {{0, 5}, {1, 2}, {3, 4}};
    template <int pair>
    [[gnu::always_inline]] static void apply(const Vec* y, Vec* t) {
        if constexpr (pair == 0) {
            t[0] = y[0];
            t[1] = y[3];
        } else {
            constexpr float square = pair == 1 ? 0.5f : 2.0f, point = pair == 1 ? a : b;
            const Vec even = multiply_add(square, y[2], y[0]);
            const Vec odd = multiply_add(square, y[3], y[1]);
            t[0] = multiply_add(point, odd, even);
            t[1] = multiply_add(-point, odd, even);
        }
    }
};

struct WeightGradientTransform {  // G^T
    static constexpr int from = 6, to = 3, pairs = 2;
    static constexpr int results[pairs][2] = {{0, 2}, {1, -1}};
    template <int pair>
    [[gnu::always_inline]] static void apply(const Vec* m, Vec* t) {
        constexpr float scale_a = -2.0f / 3, scale_b = 1.0f / 6;
        if constexpr (pair == 0) {
            const Vec even_a = m[1] + m[2], even_b = m[3] + m[4];
            t[0] = multiply_add(scale_a, even_a, multiply_add(scale_b, even_b, m[0]));
            t[1] = multiply_add(0.5f * scale_a, even_a, multiply_add(2.0f * scale_b, even_b, m[5]));
        } else {
            t[0] = multiply_add(scale_a * a, m[1] - m[2], scale_b * b * (m[3] - m[4]));
        }
    }
};

// One pair of rows of a tile, whose columns are transformed already: store(row, column, value).
template <class Transform, int pair, class Store>
[[gnu::always_inline]] inline void transform_rows(const Vec (*half)[Transform::from],
                                                  Store store_at) {
#pragma GCC unroll 2
    for (int i = 0; i < 2; ++i) {
        const int row = Transform::results[pair][i];
        if (row < 0) continue;
        const auto store_pair = [&](const int* columns, const Vec* values) {
            store_at(row, columns[0], values[0]);
            if (columns[1] >= 0) store_at(row, columns[1], values[1]);
        };
        Vec values[2];
        Transform::template apply<0>(half[i], values);
        store_pair(Transform::results[0], values);
        Transform::template apply<1>(half[i], values);
        store_pair(Transform::results[1], values);
        if constexpr (Transform::pairs == 3) {
            Transform::template apply<2>(half[i], values);
            store_pair(Transform::results[2], values);
        }
    }
}

template <class Transform, int pair, class Load, class Store>
[[gnu::always_inline]] inline void transform_pair(Load load_at, Store store_at) {
    Vec half[2][Transform::from];
#pragma GCC unroll 6
    for (int column = 0; column < Transform::from; ++column) {
        Vec line[Transform::from], values[2];
#pragma GCC unroll 6
        for (int row = 0; row < Transform::from; ++row) line[row] = load_at(row, column);
        Transform::template apply<pair>(line, values);
        half[0][column] = values[0];
        half[1][column] = values[1];
    }
    transform_rows<Transform, pair>(half, store_at);
}

// load(row, column) gives the tile, store(row, column, value) takes the transformed one. Pairs of
// rows one after the other: a whole tile between the two passes would not fit into registers.
template <class Transform, class Load, class Store>
[[gnu::always_inline]] inline void transform_tile(Load load_at, Store store_at) {
    transform_pair<Transform, 0>(load_at, store_at);
    transform_pair<Transform, 1>(load_at, store_at);
    if constexpr (Transform::pairs == 3) transform_pair<Transform, 2>(load_at, store_at);
}

// A function of its own: in the loop over channels the compiler would keep 72 addresses on the
// stack.
template <class Transform, class T, class Store>
[[gnu::noinline]] void pixels_to_frequencies(const T* pixels, std::int64_t row_stride,
                                             std::int64_t pixel_stride, float* frequencies,
                                             std::int64_t stride, Store store_vector) {
    transform_tile<Transform>(
        [&](int row, int column) {
            return load(pixels + row * row_stride + column * pixel_stride);
        },
        [&](int row, int column, Vec v) {
            store_vector(frequencies + (row * winograd_patch + column) * stride, v);
        });
}

// Copies one vector of channels of each pixel, zero where it lies outside the image.
template <int size, class T>
[[gnu::noinline]] void copy_pixels(const WinogradPatch<T>& patch, std::int64_t channel, Vec* copy) {
    for (int i = 0; i < size * size; ++i) copy[i] = Vec{};
    for (int row = patch.first_row; row < patch.last_row; ++row)
        for (int column = patch.first_column; column < patch.last_column; ++column)
            copy[row * size + column] = load_some(
                patch.pixels + row * patch.row_stride + column * patch.pixel_stride + channel,
                patch.channels - channel);
}

// Asks the second cache for the pixels that the tile after the next one is the first to read, if a
// row of tiles is not its image's first. The processor itself does not foresee so many streams.
template <int size, class T>
[[gnu::always_inline]] inline void ask_for_pixels(const WinogradPatch<T>& patch,
                                                  std::int64_t channel) {
    constexpr int shared = size - winograd_tile, ahead = 2 * winograd_tile;
    for (int row = shared; row < size; ++row) {
        const T* pixels = patch.pixels + row * patch.row_stride + channel;
        for (int column = shared + ahead; column < size + ahead; ++column)
            __builtin_prefetch(pixels + column * patch.pixel_stride, 0, 2);
    }
}

template <class Transform, class T, class Store>
void transform_patch(const WinogradPatch<T>& patch, const WinogradFrequencies& to,
                     Store store_vector) {
    constexpr int size = Transform::from;
    const bool whole = patch.first_row == 0 && patch.last_row == size && patch.first_column == 0 &&
                       patch.last_column == size;
    for (std::int64_t c = 0; c < patch.channels; c += lanes) {
        float* data = to.data + c / strip_block * to.block_stride + c % strip_block;
        if (whole && patch.channels - c >= lanes) {
            ask_for_pixels<size>(patch, c);
            pixels_to_frequencies<Transform>(patch.pixels + c, patch.row_stride, patch.pixel_stride,
                                             data, to.stride, store_vector);
        } else {
            Vec copy[size * size];
            copy_pixels<size>(patch, c, copy);
            pixels_to_frequencies<Transform>(reinterpret_cast<const float*>(copy), size * lanes,
                                             lanes, data, to.stride, store_vector);
        }
    }
}

template <class Transform, class T>
void transform_pixels(const WinogradPatch<T>& patch, const WinogradFrequencies& to) {
    if (lanes == strip_block && to.past_cache)  // whole cache lines only
        transform_patch<Transform>(patch, to, [](float* p, Vec v) { stream(p, v); });
    else
        transform_patch<Transform>(patch, to, [](float* p, Vec v) { store(p, v); });
}

template <class T, class Finish, class StoreVector>
[[gnu::always_inline]] inline void output_vector(const float* frequencies, std::int64_t stride,
                                                 Finish finish, const WinogradPixels<T>& to, int c,
                                                 StoreVector store_vector) {
    transform_tile<OutputTransform>(
        [&](int row, int column) {
            return load(frequencies + (row * winograd_patch + column) * stride + c);
        },
        [&](int row, int column, Vec v) {
            if (row < to.rows && column < to.columns)
                store_vector(to.pixels + row * to.row_stride + column * to.pixel_stride + c,
                             finish(v));
        });
}

template <class T, class Activation>
void output_with(Activation activation, const float* frequencies, std::int64_t stride,
                 const float* bias, const WinogradPixels<T>& to) {
    const auto plain = [](T* at, Vec v) { store(at, v); };
    const auto past_cache = [](T* at, Vec v) { stream(at, v); };
    for (int c = 0; c < to.channels; c += lanes) {
        const Vec start = load(bias + c);
        const auto finish = [&](Vec v) { return activation(v + start); };
        const int left = to.channels - c;
        const auto part = [&](T* at, Vec v) { store_first(at, v, left); };
        if (left < lanes)
            output_vector(frequencies, stride, finish, to, c, part);
        else if (to.past_cache)
            output_vector(frequencies, stride, finish, to, c, past_cache);
        else
            output_vector(frequencies, stride, finish, to, c, plain);
    }
}

template <class T>
void output(const float* frequencies, std::int64_t stride, const float* bias,
            const WinogradPixels<T>& to) {
    if (to.slope == 1.0f)
        output_with([](Vec v) { return v; }, frequencies, stride, bias, to);
    else
        output_with(Slope(to.slope), frequencies, stride, bias, to);
}

void weight(const float* taps, std::int64_t tap_stride, float* frequencies, std::int64_t stride) {
    for (int c = 0; c < panel; c += lanes)
        transform_tile<WeightTransform>(
            [&](int row, int column) {
                return load(taps + (row * winograd_kernel + column) * tap_stride + c);
            },
            [&](int row, int column, Vec v) {
                store(frequencies + (row * winograd_patch + column) * stride + c, v);
            });
}

void weight_gradient(const float* frequencies, std::int64_t stride, float* const* taps,
                     int channels) {
    for (int c = 0; c < channels; c += lanes)
        transform_tile<WeightGradientTransform>(
            [&](int row, int column) {
                return load(frequencies + (row * winograd_patch + column) * stride + c);
            },
            [&](int row, int column, Vec v) {
                store_some(taps[row * winograd_kernel + column] + c, v, channels - c);
            });
}

void fence() { stream_fence(); }

template <class T>
constexpr WinogradImageKernels<T> image_kernels = {
    transform_pixels<InputTransform, T>, transform_pixels<GradientTransform, T>, output<T>};

}  // namespace

extern const WinogradKernels winograd = {weight, weight_gradient, fence};
extern const WinogradImageKernels<float> winograd_image_float = image_kernels<float>;
extern const WinogradImageKernels<bf16> winograd_image_bf16 = image_kernels<bf16>;

}  // namespace voxelgrad::VOXELGRAD_ISA

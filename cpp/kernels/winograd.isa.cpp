#include "kernels/winograd.hpp"

#include "core/streaming.hpp"
#include "kernels/conv_direct.hpp"
#include "kernels/slope.hpp"
#include "kernels/winograd_transforms.hpp"

namespace voxelgrad::VOXELGRAD_ISA {
namespace {

constexpr int panel = 2 * lanes;
// Channels in a cache line.
template <class T>
constexpr int line = cache_line / sizeof(T);

// The vectors of a tile that lies in a copy of its own.
template <int columns, class T>
[[gnu::always_inline]] inline VectorGrid<T> packed(T* copy) {
    return {copy, columns * lanes, lanes};
}
// The frequencies of a tile, for vectors over channels.
template <Filter filter, class T>
[[gnu::always_inline]] inline VectorGrid<T> frequencies_of(T* first, std::int64_t stride) {
    return {first, Form<filter>::size * stride, stride};
}

// Copies one vector of channels of each pixel, zero where it lies outside the image.
template <int size, class T>
[[gnu::noinline]] void copy_pixels(const WinogradPatch<T>& patch, std::int64_t channel,
                                   float* copy) {
    for (int i = 0; i < size * size; ++i) store(copy + i * lanes, Vec{});
    for (int row = patch.first_row; row < patch.last_row; ++row)
        for (int column = patch.first_column; column < patch.last_column; ++column)
            store(copy + (row * size + column) * lanes,
                  load_some(
                      patch.pixels + row * patch.row_stride + column * patch.pixel_stride + channel,
                      patch.channels - channel));
}

// Asks the second cache for the pixels that the tile after the next one is the first to read, if a
// row of tiles is not its image's first. The processor itself does not foresee so many streams.
template <int tile, int size, class T>
[[gnu::always_inline]] inline void ask_for_pixels(const WinogradPatch<T>& patch,
                                                  std::int64_t channel) {
    constexpr int shared = size - tile, ahead = 2 * tile;
    for (int row = shared; row < size; ++row) {
        const T* pixels = patch.pixels + row * patch.row_stride + channel;
        for (int column = shared + ahead; column < size + ahead; ++column)
            __builtin_prefetch(pixels + column * patch.pixel_stride, 0, 2);
    }
}

template <Filter filter, class Transform, class T, class Put>
void transform_patch(const WinogradPatch<T>& patch, const WinogradFrequencies& to, Put put) {
    constexpr int size = Transform::from;
    const bool whole = patch.first_row == 0 && patch.last_row == size && patch.first_column == 0 &&
                       patch.last_column == size;
    for (std::int64_t c = 0; c < patch.channels; c += lanes) {
        float* data = to.data + c / strip_block * to.block_stride + c % strip_block;
        const auto frequencies = frequencies_of<filter>(data, to.stride);
        if (whole && patch.channels - c >= lanes) {
            ask_for_pixels<filter.tile, size>(patch, c);
            const VectorGrid<const T> pixels{patch.pixels + c, patch.row_stride,
                                             patch.pixel_stride};
            transform_tile<Transform>(pixels, frequencies, put);
        } else {
            alignas(Vec) float copy[size * size * lanes];
            copy_pixels<size>(patch, c, copy);
            transform_tile<Transform>(packed<size>(copy), frequencies, put);
        }
    }
}

template <Filter filter, class Transform, class T>
void transform_pixels(const WinogradPatch<T>& patch, const WinogradFrequencies& to) {
    if (lanes == strip_block && to.past_cache)  // whole cache lines only
        transform_patch<filter, Transform>(patch, to, [](float* p, Vec v) { stream(p, v); });
    else
        transform_patch<filter, Transform>(patch, to, [](float* p, Vec v) { store(p, v); });
}

// One vector of channels of a tile that lies partly outside the image, or the last channels.
template <Filter filter, class T, class Finish>
[[gnu::noinline]] void output_part(const VectorGrid<const float>& frequencies, Finish finish,
                                   const WinogradPixels<T>& to, int channel) {
    constexpr int tile = filter.tile;
    alignas(Vec) float copy[tile * tile * lanes];
    transform_tile<OutputTransform<filter>>(frequencies, packed<tile>(copy),
                                            [](float* p, Vec v) { store(p, v); });
    for (int row = 0; row < to.rows; ++row)
        for (int column = 0; column < to.columns; ++column)
            store_some(to.pixels + row * to.row_stride + column * to.pixel_stride + channel,
                       finish(load(copy + (row * tile + column) * lanes), 0),
                       to.channels - channel);
}

// A cache line of channels of a whole tile. Its vectors may be shorter: then they are put together
// in the first cache.
template <Filter filter, class T, class Finish>
void output_line(const VectorGrid<const float>& frequencies, Finish finish,
                 const VectorGrid<T>& pixels) {
    if constexpr (line<T> == lanes) {
        transform_tile<OutputTransform<filter>>(frequencies, pixels,
                                                [=](T* at, Vec v) { stream(at, finish(v, 0)); });
    } else {
        constexpr int tile = filter.tile;
        alignas(cache_line) T copy[tile * tile * line<T>];
        for (int c = 0; c < line<T>; c += lanes)
            transform_tile<OutputTransform<filter>>(
                VectorGrid<const float>{frequencies.data + c, frequencies.row_stride,
                                        frequencies.column_stride},
                VectorGrid<T>{copy + c, tile * line<T>, line<T>},
                [=](T* at, Vec v) { store(at, finish(v, c)); });
        for (int row = 0; row < tile; ++row)
            for (int column = 0; column < tile; ++column)
                stream_line(copy + (row * tile + column) * line<T>,
                            pixels.data + row * pixels.row_stride + column * pixels.column_stride);
    }
}

template <Filter filter, class T, class Activation>
void output_with(Activation activation, const float* frequencies, std::int64_t stride,
                 const float* bias, const WinogradPixels<T>& to) {
    const bool whole = to.rows == filter.tile && to.columns == filter.tile;
    const bool lines =
        whole && to.past_cache && reinterpret_cast<std::uintptr_t>(to.pixels) % cache_line == 0;
    for (int c = 0, next = 0; c < to.channels; c = next) {
        const auto finish = [=](Vec v, int more) { return activation(v + load(bias + c + more)); };
        const auto from = frequencies_of<filter>(frequencies + c, stride);
        const VectorGrid<T> pixels{to.pixels + c, to.row_stride, to.pixel_stride};
        next = c + lanes;
        if (lines && to.channels - c >= line<T>) {
            output_line<filter>(from, finish, pixels);
            next = c + line<T>;
        } else if (whole && to.channels - c >= lanes) {
            transform_tile<OutputTransform<filter>>(from, pixels,
                                                    [=](T* at, Vec v) { store(at, finish(v, 0)); });
        } else {
            output_part<filter>(from, finish, to, c);
        }
    }
}

template <Filter filter, class T>
void output(const float* frequencies, std::int64_t stride, const float* bias,
            const WinogradPixels<T>& to) {
    if (to.slope == 1.0f)
        output_with<filter>([](Vec v) { return v; }, frequencies, stride, bias, to);
    else
        output_with<filter>(Slope(to.slope), frequencies, stride, bias, to);
}

template <Filter filter>
void weight(const float* taps, std::int64_t tap_stride, float* frequencies, std::int64_t stride) {
    const auto put = [](float* p, Vec v) { lanes == strip_block ? stream(p, v) : store(p, v); };
    for (int c = 0; c < panel; c += lanes)
        transform_tile<WeightTransform<filter>>(
            VectorGrid<const float>{taps + c, filter.taps * tap_stride, tap_stride},
            frequencies_of<filter>(frequencies + c, stride), put);
}

template <Filter filter>
void weight_gradient(const float* frequencies, std::int64_t stride, float* const* taps,
                     int channels) {
    constexpr int count = filter.taps * filter.taps;
    for (int c = 0; c < channels; c += lanes) {
        alignas(Vec) float results[count * lanes];
        transform_tile<WeightGradientTransform<filter>>(
            frequencies_of<filter>(frequencies + c, stride), packed<filter.taps>(results),
            [](float* p, Vec v) { store(p, v); });
        for (int i = 0; i < count; ++i)
            store_some(taps[i] + c, load(results + i * lanes), channels - c);
    }
}

void fence() { stream_fence(); }

template <Filter filter, class T>
constexpr WinogradImageTransforms<T> image_transforms = {
    transform_pixels<filter, InputTransform<filter>, T>,
    transform_pixels<filter, GradientTransform<filter>, T>,
    output<filter, T>,
};
template <class T>
constexpr WinogradImageKernels<T> image_kernels = {
    image_transforms<Filter{4}, T>, image_transforms<Filter{5}, T>, image_transforms<Filter{6}, T>,
    image_transforms<Filter{6, 2}, T>};

template <Filter filter>
constexpr WinogradWeightTransforms weight_transforms = {weight<filter>, weight_gradient<filter>};

}  // namespace

extern const WinogradKernels winograd = {
    {weight_transforms<Filter{4}>, weight_transforms<Filter{5}>, weight_transforms<Filter{6}>,
     weight_transforms<Filter{6, 2}>},
    fence};
extern const WinogradImageKernels<float> winograd_image_float = image_kernels<float>;
extern const WinogradImageKernels<bf16> winograd_image_bf16 = image_kernels<bf16>;

}  // namespace voxelgrad::VOXELGRAD_ISA

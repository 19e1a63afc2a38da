// A convolution with one tap and few target channels: a product of all pixels with a small matrix.
#include "kernels/conv_head.hpp"

#include <algorithm>

#include "core/parallel_for.hpp"
#include "core/pool.hpp"
#include "core/split.hpp"
#include "core/streaming.hpp"
#include "ops/conv_algorithms.hpp"

namespace voxelgrad {
namespace {

constexpr std::int64_t task_size = 1 << 16;  // numbers of the source

// The pixels of all images, cut into tasks.
struct Tasks {
    std::int64_t pixels, grain;

    explicit Tasks(const ConvGeometry& g)
        : pixels(g.batch * g.coarse_pixels()),
          grain(std::max<std::int64_t>(1, task_size / g.fine_channels)) {}

    std::int64_t count() const { return divide_up(pixels, grain); }
};

template <class T>
void coarse_from_fine(const ConvGeometry& g, const T* fine, const float* weight,
                      const ConvEpilogue& epilogue, T* coarse) {
    const std::int64_t channels = g.fine_channels, targets = g.coarse_channels;
    const Tasks tasks(g);
    parallel_for_ranges(tasks.pixels, tasks.grain, [&](std::int64_t begin, std::int64_t end) {
        conv_head_kernels<T>().forward(fine + begin * channels, weight, epilogue.bias,
                                       epilogue.slope, coarse + begin * targets, end - begin,
                                       channels, static_cast<int>(targets));
    });
}

template <class T>
void fine_from_coarse(const ConvGeometry& g, const T* coarse, const float* weight,
                      const ConvEpilogue&, T* fine) {  // a gradient: it has no epilogue
    const std::int64_t channels = g.fine_channels, targets = g.coarse_channels;
    const Tasks tasks(g);
    const bool past_cache = worth_streaming(fine, tasks.pixels * channels, channels);
    parallel_for_ranges(tasks.pixels, tasks.grain, [&](std::int64_t begin, std::int64_t end) {
        conv_head_kernels<T>().backward(coarse + begin * targets, weight, fine + begin * channels,
                                        end - begin, channels, static_cast<int>(targets),
                                        past_cache);
    });
}

template <class T>
void weight_gradient(const ConvGeometry& g, const T* fine, const T* coarse, float* grad_weight) {
    const std::int64_t channels = g.fine_channels, targets = g.coarse_channels;
    const std::int64_t size = channels * targets;
    const Tasks tasks(g);
    Workspace<float> partial(tasks.count() * size);
    parallel_for_ranges(tasks.pixels, tasks.grain, [&](std::int64_t begin, std::int64_t end) {
        conv_head_kernels<T>().weight_gradient(fine + begin * channels, coarse + begin * targets,
                                               partial.data() + begin / tasks.grain * size,
                                               end - begin, channels, static_cast<int>(targets));
    });
    Workspace<double> total(size);
    std::fill_n(total.data(), size, 0.0);
    for (std::int64_t task = 0; task < tasks.count(); ++task)
        for (std::int64_t i = 0; i < size; ++i) total[i] += partial[task * size + i];
    for (std::int64_t i = 0; i < size; ++i) grad_weight[i] = static_cast<float>(total[i]);
}

bool accepts(const ConvGeometry& g) {
    return g.taps() == 1 && g.groups == 1 && !g.transposed && g.fine_channels > 0 &&
           g.coarse_channels > 0 && g.coarse_channels <= head_channels &&
           std::equal(g.fine, g.fine + conv_axes, g.coarse) &&
           std::all_of(g.stride, g.stride + conv_axes, [](std::int64_t s) { return s == 1; });
}

// With fewer channels the vectors would not be full.
bool worthwhile(const ConvGeometry& g) { return g.fine_channels >= 16; }

template <class T>
constexpr ConvAlgorithmFor<T> algorithm = {
    "head", accepts, worthwhile, coarse_from_fine<T>, fine_from_coarse<T>, weight_gradient<T>};

}  // namespace

extern const ConvAlgorithm conv_head = algorithm<float>;
extern const ConvAlgorithmFor<bf16> conv_head_bf16 = algorithm<bf16>;

}  // namespace voxelgrad

#include "ops/norm.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/check.hpp"
#include "core/parallel_for.hpp"
#include "core/pool.hpp"
#include "kernels/norm.hpp"

namespace voxelgrad {
namespace {

using std::int64_t;

constexpr int64_t chunk_elements = 1 << 15;  // 128 KiB: small enough for L2
constexpr int64_t chunk_rows = 16;           // at least, so that sums stay few

// Channels repeated until they fill whole vectors and enough of them.
struct Pattern {
    int64_t channels, period, chunk;  // chunk: elements, whole periods

    explicit Pattern(int64_t channel_count) : channels(channel_count) {
        constexpr int64_t vector = 16, enough = 64, longest = 2048;
        int64_t repeat = vector / std::gcd(channels, vector);
        while (channels * repeat < enough) repeat *= 2;
        period = channels * repeat <= longest ? channels * repeat : channels;
        chunk = std::max(chunk_rows, chunk_elements / period) * period;
    }
};

// Batch norm is the problem with one sample and as many groups as channels.
struct Problem {
    int64_t samples, rows, channels, groups;

    int64_t sample_size() const { return rows * channels; }
    int64_t group_channels() const { return channels / groups; }
    double group_size() const { return static_cast<double>(rows * group_channels()); }
    // With a single group the sums run over the sample as if it had one channel.
    int64_t moment_channels() const { return groups == 1 ? 1 : channels; }
    // Samples that one thread takes at a time.
    int64_t grain() const { return std::max<int64_t>(1, chunk_elements / sample_size()); }
};

// Runs body(range, begin, end) on ranges of samples: small samples side by side, large ones one
// after the other, because they are cut into chunks themselves.
template <class Body>
void for_sample_ranges(const Problem& problem, Body&& body) {
    const int64_t grain = problem.grain(), ranges = (problem.samples + grain - 1) / grain;
    const auto run = [&](int64_t range) {
        body(range, range * grain, std::min((range + 1) * grain, problem.samples));
    };
    if (problem.sample_size() <= chunk_elements) return parallel_for(ranges, run);
    for (int64_t range = 0; range < ranges; ++range) run(range);
}

// Runs body(begin, count) on the chunks of an array, the last chunk first: what a pass over the
// array has read last is still in cache.
template <class Body>
void for_chunks_backwards(const Pattern& pattern, int64_t size, Body&& body) {
    const int64_t chunks = (size + pattern.chunk - 1) / pattern.chunk;
    parallel_for(chunks, [&](int64_t k) {
        const int64_t begin = (chunks - 1 - k) * pattern.chunk;
        body(begin, std::min(pattern.chunk, size - begin));
    });
}

// The column sums of a sample. sums(begin, count, first, second) writes those of one chunk, for
// every column of the pattern; totals gets first and second for every channel.
template <class Sums>
void sum_columns(const Pattern& pattern, int64_t size, double* totals, Sums&& sums) {
    const int64_t chunks = (size + pattern.chunk - 1) / pattern.chunk;
    const int64_t channels = pattern.channels, period = pattern.period;
    Workspace<double> partial(chunks * 2 * period);
    parallel_for(chunks, [&](int64_t k) {
        double* const first = partial.data() + k * 2 * period;
        const int64_t begin = k * pattern.chunk;
        sums(begin, std::min(pattern.chunk, size - begin), first, first + period);
        for (double* column : {first, first + period})
            for (int64_t c = channels; c < period; ++c) column[c % channels] += column[c];
    });
    std::fill(totals, totals + 2 * channels, 0.0);
    for (int64_t k = 0; k < chunks; ++k) {
        const double* const first = partial.data() + k * 2 * period;
        for (int64_t c = 0; c < channels; ++c) totals[c] += first[c];
        for (int64_t c = 0; c < channels; ++c) totals[channels + c] += first[period + c];
    }
}

// Factors of every column of the pattern.
struct Columns {
    explicit Columns(const Pattern& p)
        : pattern(p),
          memory(4 * p.period),
          mean(memory.data()),
          scale(mean + p.period),
          shift(scale + p.period),
          slope(shift + p.period) {}

    // After the first `channels` of each have been set.
    void repeat() {
        for (float* column : {mean, scale, shift, slope})
            for (int64_t c = pattern.channels; c < pattern.period; ++c)
                column[c] = column[c - pattern.channels];
    }

    Pattern pattern;
    Workspace<float> memory;
    float *mean, *scale, *shift, *slope;
};

struct Affine {
    const float *weight, *bias;  // may be null

    float scale(int64_t c) const { return weight ? weight[c] : 1.0f; }
    float shift(int64_t c) const { return bias ? bias[c] : 0.0f; }
};

template <class T>
T* pointer(const OptionalView<T>& view) {
    return view ? view.data : nullptr;
}

// y = (x - mean) * invstd * weight + bias for one sample; statistics are those of its groups.
void normalise_sample(const Problem& problem, const float* x, Affine affine, const float* mean,
                      const float* invstd, float* y, Columns& columns) {
    for (int64_t c = 0; c < problem.channels; ++c) {
        const int64_t group = c / problem.group_channels();
        columns.mean[c] = mean[group];
        columns.scale[c] = invstd[group] * affine.scale(c);
        columns.shift[c] = affine.shift(c);
        columns.slope[c] = 0.0f;
    }
    columns.repeat();
    for_chunks_backwards(columns.pattern, problem.sample_size(), [&](int64_t begin, int64_t n) {
        norm_kernels().normalise(x + begin, columns.mean, columns.scale, columns.shift, y + begin,
                                 n, columns.pattern.period);
    });
}

void write_statistics(const Problem& problem, const float* x, const Pattern& pattern,
                      double* totals, float* mean, float* invstd, double eps) {
    sum_columns(pattern, problem.sample_size(), totals,
                [&](int64_t begin, int64_t n, double* sum, double* square) {
                    norm_kernels().moments(x + begin, n, pattern.period, sum, square);
                });
    const int64_t width = pattern.channels / problem.groups;
    for (int64_t g = 0; g < problem.groups; ++g) {
        double sum = 0.0, square = 0.0;
        for (int64_t c = g * width; c < (g + 1) * width; ++c) {
            sum += totals[c];
            square += totals[pattern.channels + c];
        }
        const double centre = sum / problem.group_size();
        const double variance = square / problem.group_size() - centre * centre;
        mean[g] = static_cast<float>(centre);
        invstd[g] = static_cast<float>(1.0 / std::sqrt((variance < 0.0 ? 0.0 : variance) + eps));
    }
}

void forward(const Problem& problem, const float* x, Affine affine, float* y, float* mean,
             float* invstd, double eps) {
    const Pattern pattern(problem.channels), moments(problem.moment_channels());
    for_sample_ranges(problem, [&](int64_t, int64_t begin, int64_t end) {
        Columns columns(pattern);
        Workspace<double> totals(2 * moments.channels);
        for (int64_t s = begin; s < end; ++s) {
            const int64_t start = s * problem.sample_size(), first = s * problem.groups;
            write_statistics(problem, x + start, moments, totals.data(), mean + first,
                             invstd + first, eps);
            normalise_sample(problem, x + start, affine, mean + first, invstd + first, y + start,
                             columns);
        }
    });
}

struct Gradients {
    float *input, *weight, *bias;  // may be null
};

// grad_input = invstd * (h - mean(h) - xh * mean(h * xh)), h = grad * weight, xh = the normalised
// x, the means over a group; written as grad * scale + (x - mean) * slope + shift. `totals` holds
// the sums of grad and of grad * (x - mean) for every channel.
void input_gradient_sample(const Problem& problem, const float* grad, const float* x, Affine affine,
                           const float* mean, const float* invstd, const double* totals,
                           float* result, Columns& columns) {
    const int64_t width = problem.group_channels();
    for (int64_t g = 0; g < problem.groups; ++g) {
        double sum = 0.0, product = 0.0;
        for (int64_t c = g * width; c < (g + 1) * width; ++c) {
            sum += totals[c] * affine.scale(c);
            product += totals[problem.channels + c] * affine.scale(c);
        }
        const double inverse = invstd[g], share = inverse / problem.group_size();
        for (int64_t c = g * width; c < (g + 1) * width; ++c) {
            columns.mean[c] = mean[g];
            columns.scale[c] = invstd[g] * affine.scale(c);
            columns.slope[c] = static_cast<float>(-share * inverse * inverse * product);
            columns.shift[c] = static_cast<float>(-share * sum);
        }
    }
    columns.repeat();
    for_chunks_backwards(columns.pattern, problem.sample_size(), [&](int64_t begin, int64_t n) {
        norm_kernels().input_gradient(grad + begin, x + begin, columns.mean, columns.scale,
                                      columns.slope, columns.shift, result + begin, n,
                                      columns.pattern.period);
    });
}

// The sums of grad and of grad * (x - mean) for every channel of one sample.
void sum_gradients(const Problem& problem, const float* grad, const float* x, const float* mean,
                   double* totals, Columns& columns) {
    std::fill(columns.mean, columns.mean + 4 * columns.pattern.period, 0.0f);
    for (int64_t c = 0; c < problem.channels; ++c)
        columns.mean[c] = mean[c / problem.group_channels()];
    columns.repeat();
    sum_columns(columns.pattern, problem.sample_size(), totals,
                [&](int64_t begin, int64_t n, double* sum, double* product) {
                    norm_kernels().gradient_sums(grad + begin, x + begin, columns.mean, n,
                                                 columns.pattern.period, sum, product);
                });
}

void backward(const Problem& problem, const float* grad, const float* x, Affine affine,
              const float* mean, const float* invstd, Gradients gradients, bool training) {
    const int64_t channels = problem.channels, grain = problem.grain();
    const int64_t ranges = (problem.samples + grain - 1) / grain;
    const Pattern pattern(channels);
    Workspace<double> partial(ranges * 2 * channels);  // bias, weight gradient of every range
    std::fill(partial.data(), partial.data() + ranges * 2 * channels, 0.0);
    for_sample_ranges(problem, [&](int64_t range, int64_t begin, int64_t end) {
        Columns columns(pattern);
        Workspace<double> totals(2 * channels);
        double* const bias = partial.data() + range * 2 * channels;
        for (int64_t s = begin; s < end; ++s) {
            const int64_t start = s * problem.sample_size(), first = s * problem.groups;
            sum_gradients(problem, grad + start, x + start, mean + first, totals.data(), columns);
            for (int64_t c = 0; c < channels; ++c) {
                bias[c] += totals[c];
                bias[channels + c] +=
                    totals[channels + c] * invstd[first + c / problem.group_channels()];
            }
            if (gradients.input && training)
                input_gradient_sample(problem, grad + start, x + start, affine, mean + first,
                                      invstd + first, totals.data(), gradients.input + start,
                                      columns);
        }
    });
    for (int64_t c = 0; c < channels; ++c) {
        double bias = 0.0, weight = 0.0;
        for (int64_t range = 0; range < ranges; ++range) {
            bias += partial[range * 2 * channels + c];
            weight += partial[(range * 2 + 1) * channels + c];
        }
        if (gradients.bias) gradients.bias[c] = static_cast<float>(bias);
        if (gradients.weight) gradients.weight[c] = static_cast<float>(weight);
    }
}

template <class T>
void check_channels(const char* op, const char* name, const View<T>& view, int64_t channels) {
    check(view.rank == 1 && view[0] == channels, op, ": ", name, ' ', view, " must have shape (",
          channels, ")");
}

void check_affine(const char* op, const OptionalView<const float>& weight,
                  const OptionalView<const float>& bias, int64_t channels) {
    if (weight) check_channels(op, "weight", weight, channels);
    if (bias) check_channels(op, "bias", bias, channels);
}

template <class T>
Problem batch_problem(const char* op, const View<const float>& input, const View<T>& mean,
                      const View<T>& invstd) {
    check(input.rank >= 2, op, ": input ", input, " must have at least 2 axes");
    check(input.size() > 0, op, ": input ", input, " must not be empty");
    check_channels(op, "mean", mean, input.last());
    check_channels(op, "invstd", invstd, input.last());
    return {1, input.count(0, input.rank - 1), input.last(), input.last()};
}

template <class T>
Problem group_problem(const char* op, const View<const float>& input, const View<T>& mean,
                      const View<T>& invstd) {
    check(input.rank >= 2, op, ": input ", input, " must have at least 2 axes");
    check(input.size() > 0, op, ": input ", input, " must not be empty");
    check(mean.rank == 2 && mean[0] == input[0] && mean[1] > 0 && input.last() % mean[1] == 0, op,
          ": mean ", mean, " must have shape (N, G) with G dividing the channels of input ", input);
    check_same_shape(op, "mean", mean, "invstd", invstd);
    return {input[0], input.count(1, input.rank - 1), input.last(), mean[1]};
}

Gradients check_gradients(const char* op, const View<const float>& input,
                          const OptionalView<float>& grad_input,
                          const OptionalView<float>& grad_weight,
                          const OptionalView<float>& grad_bias) {
    if (grad_input) check_same_shape(op, "grad_input", grad_input, "input", input);
    if (grad_weight) check_channels(op, "grad_weight", grad_weight, input.last());
    if (grad_bias) check_channels(op, "grad_bias", grad_bias, input.last());
    return {pointer(grad_input), pointer(grad_weight), pointer(grad_bias)};
}

}  // namespace

void batch_norm_forward(View<const float> input, OptionalView<const float> weight,
                        OptionalView<const float> bias, View<float> output, View<float> mean,
                        View<float> invstd, double eps) {
    constexpr const char* op = "batch_norm_forward";
    const Problem problem = batch_problem(op, input, mean, invstd);
    check_affine(op, weight, bias, input.last());
    check_same_shape(op, "input", input, "output", output);
    forward(problem, input.data, {pointer(weight), pointer(bias)}, output.data, mean.data,
            invstd.data, eps);
}

void batch_norm_apply(View<const float> input, OptionalView<const float> weight,
                      OptionalView<const float> bias, View<const float> mean,
                      View<const float> invstd, View<float> output) {
    constexpr const char* op = "batch_norm_apply";
    const Problem problem = batch_problem(op, input, mean, invstd);
    check_affine(op, weight, bias, input.last());
    check_same_shape(op, "input", input, "output", output);
    Columns columns{Pattern(problem.channels)};
    normalise_sample(problem, input.data, {pointer(weight), pointer(bias)}, mean.data, invstd.data,
                     output.data, columns);
}

void batch_norm_backward(View<const float> grad_output, View<const float> input,
                         OptionalView<const float> weight, View<const float> mean,
                         View<const float> invstd, OptionalView<float> grad_input,
                         OptionalView<float> grad_weight, OptionalView<float> grad_bias,
                         bool training) {
    constexpr const char* op = "batch_norm_backward";
    const Problem problem = batch_problem(op, input, mean, invstd);
    check_same_shape(op, "grad_output", grad_output, "input", input);
    check_affine(op, weight, {}, input.last());
    const Gradients gradients = check_gradients(op, input, grad_input, grad_weight, grad_bias);
    if (training || grad_weight || grad_bias)
        backward(problem, grad_output.data, input.data, {pointer(weight), nullptr}, mean.data,
                 invstd.data, gradients, training);
    if (training || !grad_input) return;
    Columns columns{Pattern(problem.channels)};
    Workspace<float> zero(problem.channels);
    std::fill(zero.data(), zero.data() + problem.channels, 0.0f);
    normalise_sample(problem, grad_output.data, {pointer(weight), nullptr}, zero.data(),
                     invstd.data, grad_input.data, columns);
}

void group_norm_forward(View<const float> input, OptionalView<const float> weight,
                        OptionalView<const float> bias, View<float> output, View<float> mean,
                        View<float> invstd, double eps) {
    constexpr const char* op = "group_norm_forward";
    const Problem problem = group_problem(op, input, mean, invstd);
    check_affine(op, weight, bias, input.last());
    check_same_shape(op, "input", input, "output", output);
    forward(problem, input.data, {pointer(weight), pointer(bias)}, output.data, mean.data,
            invstd.data, eps);
}

void group_norm_backward(View<const float> grad_output, View<const float> input,
                         OptionalView<const float> weight, View<const float> mean,
                         View<const float> invstd, OptionalView<float> grad_input,
                         OptionalView<float> grad_weight, OptionalView<float> grad_bias) {
    constexpr const char* op = "group_norm_backward";
    const Problem problem = group_problem(op, input, mean, invstd);
    check_same_shape(op, "grad_output", grad_output, "input", input);
    check_affine(op, weight, {}, input.last());
    const Gradients gradients = check_gradients(op, input, grad_input, grad_weight, grad_bias);
    backward(problem, grad_output.data, input.data, {pointer(weight), nullptr}, mean.data,
             invstd.data, gradients, true);
}

}  // namespace voxelgrad

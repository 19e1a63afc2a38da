#include "ops/norm_passes.hpp"

#include <algorithm>
#include <cmath>
#include <deque>

#include "core/parallel_for.hpp"
#include "core/pool.hpp"
#include "core/streaming.hpp"
#include "ops/norm_sums.hpp"

namespace voxelgrad {
namespace {

using std::int64_t;

// Runs body(begin, count) on the chunks of an array, the last chunk first: what an earlier pass
// over the array has read last is still in cache.
template <class Body>
void for_chunks_backwards(const NormPattern& pattern, int64_t size, Body&& body) {
    const int64_t chunks = pattern.chunks(size);
    parallel_for(chunks, [&](int64_t k) {
        const int64_t begin = (chunks - 1 - k) * pattern.chunk;
        body(begin, std::min(pattern.chunk, size - begin));
    });
}

// Factors of every column of the pattern: those of the map, and of the gradient through mean and
// variance.
struct Columns {
    Columns(const NormPattern& p, const NormAffine& affine)
        : pattern(p),
          activation(affine.activation),
          alpha(affine.alpha),
          memory(5 * p.period),
          mean(memory.data()),
          scale(mean + p.period),
          shift(scale + p.period),
          slope(shift + p.period),
          offset(slope + p.period) {
        std::fill(mean, mean + 5 * p.period, 0.0f);
    }

    // After the first `channels` of each have been set.
    void repeat() {
        for (float* column : {mean, scale, shift, slope, offset})
            for (int64_t c = pattern.channels; c < pattern.period; ++c)
                column[c] = column[c - pattern.channels];
    }

    NormMap map() const { return {mean, scale, shift, activation, alpha}; }

    NormPattern pattern;
    NormActivation activation;
    float alpha;
    Workspace<float> memory;
    float *mean, *scale, *shift, *slope, *offset;
};

template <class Body>
void for_group_channels(const NormProblem& problem, Body&& body) {
    const int64_t width = problem.group_channels();
    for (int64_t g = 0; g < problem.groups; ++g)
        for (int64_t c = g * width; c < (g + 1) * width; ++c) body(g, c);
}

// Sets the factors of the map for a sample.
void set_map(const NormProblem& problem, const NormAffine& affine, const float* mean,
             const float* invstd, Columns& columns) {
    for_group_channels(problem, [&](int64_t group, int64_t c) {
        columns.mean[c] = mean[group];
        columns.scale[c] = invstd[group] * affine.scale(c);
        columns.shift[c] = affine.shift(c);
    });
    columns.repeat();
}

// Whether a sample's result is written past the cache: that of the whole batch has to be large.
template <class T>
bool streams(const NormProblem& problem, const T* result, const NormPattern& pattern) {
    const auto address = reinterpret_cast<std::uintptr_t>(result);
    return address % cache_line == 0 && worth_streaming<T>(nullptr, problem.size(), pattern.period);
}

template <class T>
void normalise_sample(const NormProblem& problem, const T* x, T* y, const Columns& columns) {
    const bool past_cache = x != y && streams(problem, y, columns.pattern);
    for_chunks_backwards(columns.pattern, problem.sample_size(), [&](int64_t begin, int64_t n) {
        norm_kernels<T>().normalise(x + begin, columns.map(), y + begin, n, columns.pattern.period,
                                    past_cache);
    });
}

// The sums that give a sample's moments. With a single group they run over it as if it had one
// channel.
int64_t summed_channels(const NormProblem& problem) {
    return problem.groups == 1 ? 1 : problem.group_channels();
}

NormPattern moments_pattern(const NormProblem& problem) {
    return NormPattern(summed_channels(problem) * problem.groups);
}

template <class T>
auto moments_of(const T* x, const ChannelSums& moments) {
    return [x, period = moments.pattern().period](int64_t begin, int64_t n, double* sum,
                                                  double* square) {
        norm_kernels<T>().moments(x + begin, n, period, sum, square);
    };
}

void write_statistics(const NormProblem& problem, const ChannelSums& moments, float* mean,
                      float* invstd, double eps) {
    const int64_t width = summed_channels(problem);
    for (int64_t g = 0; g < problem.groups; ++g) {
        double sum = 0.0, square = 0.0;
        for (int64_t c = g * width; c < (g + 1) * width; ++c) {
            sum += moments.first(c);
            square += moments.second(c);
        }
        const double centre = sum / problem.group_size();
        const double variance = square / problem.group_size() - centre * centre;
        mean[g] = static_cast<float>(centre);
        invstd[g] = static_cast<float>(1.0 / std::sqrt((variance < 0.0 ? 0.0 : variance) + eps));
    }
}

// The gradient through mean and variance of a group. grad_input = invstd * (h - mean(h) -
// xh * mean(h * xh)), h = grad * weight, xh = the normalised x, the means over a group; written as
// grad * scale + (x - mean) * slope + offset. `sums` are those of grad and of grad * (x - mean).
void set_statistics_gradient(const NormProblem& problem, const NormAffine& affine,
                             const float* invstd, const ChannelSums& sums, Columns& columns) {
    const int64_t width = problem.group_channels();
    for (int64_t g = 0; g < problem.groups; ++g) {
        double sum = 0.0, product = 0.0;
        for (int64_t c = g * width; c < (g + 1) * width; ++c) {
            sum += sums.first(c) * affine.scale(c);
            product += sums.second(c) * affine.scale(c);
        }
        const double inverse = invstd[g], share = inverse / problem.group_size();
        for (int64_t c = g * width; c < (g + 1) * width; ++c) {
            columns.slope[c] = static_cast<float>(-share * inverse * inverse * product);
            columns.offset[c] = static_cast<float>(-share * sum);
        }
    }
    columns.repeat();
}

template <class T>
void input_gradient_sample(const NormProblem& problem, const T* grad, const T* x, T* result,
                           const Columns& columns) {
    const bool past_cache = grad != result && streams(problem, result, columns.pattern);
    for_chunks_backwards(columns.pattern, problem.sample_size(), [&](int64_t begin, int64_t n) {
        norm_kernels<T>().input_gradient(grad + begin, x + begin, columns.map(), columns.slope,
                                         columns.offset, result + begin, n, columns.pattern.period,
                                         past_cache);
    });
}

template <class T>
void sum_gradients(const T* grad, const T* x, ChannelSums& sums, const Columns& columns) {
    sums.compute([&](int64_t begin, int64_t n, double* sum, double* product) {
        norm_kernels<T>().gradient_sums(grad + begin, x + begin, columns.map(), n,
                                        sums.pattern().period, sum, product);
    });
}

// The samples that one thread takes at a time.
struct SampleRanges {
    explicit SampleRanges(const NormProblem& problem)
        : small(problem.sample_size() <= norm_chunk),
          grain(std::max<int64_t>(1, norm_chunk / problem.sample_size())),
          samples(problem.samples),
          count((samples + grain - 1) / grain) {}

    // Runs body(range, begin, end): small samples side by side, large ones one after the other,
    // because they are cut into chunks themselves.
    template <class Body>
    void run(Body&& body) const {
        const auto run_range = [&](int64_t range) {
            body(range, range * grain, std::min((range + 1) * grain, samples));
        };
        if (small) return parallel_for(count, run_range);
        for (int64_t range = 0; range < count; ++range) run_range(range);
    }

    bool small;
    int64_t grain, samples, count;
};

// Adds what a sample contributes to the gradients of bias and weight.
void add_affine_gradients(const NormProblem& problem, const ChannelSums& sums, const float* invstd,
                          double* bias, double* weight) {
    for_group_channels(problem, [&](int64_t group, int64_t c) {
        bias[c] += sums.first(c);
        weight[c] += sums.second(c) * invstd[group];
    });
}

void write_sum(const double* parts, int64_t count, int64_t step, int64_t channels, float* result) {
    for (int64_t c = 0; c < channels; ++c) {
        double total = 0.0;
        for (int64_t part = 0; part < count; ++part) total += parts[part * step + c];
        result[c] = static_cast<float>(total);
    }
}

}  // namespace

template <class T>
void norm_forward(const NormProblem& problem, const T* x, NormAffine affine, T* y, float* mean,
                  float* invstd, double eps) {
    SampleRanges(problem).run([&](int64_t, int64_t begin, int64_t end) {
        Columns columns(NormPattern(problem.channels), affine);
        ChannelSums moments(moments_pattern(problem), problem.sample_size());
        for (int64_t s = begin; s < end; ++s) {
            const int64_t start = s * problem.sample_size(), first = s * problem.groups;
            moments.compute(moments_of(x + start, moments));
            write_statistics(problem, moments, mean + first, invstd + first, eps);
            set_map(problem, affine, mean + first, invstd + first, columns);
            normalise_sample(problem, x + start, y + start, columns);
        }
    });
}

template <class T>
void norm_forward_of_written(const NormProblem& problem, const T* x, const WriteInput& write,
                             NormAffine affine, T* y, float* mean, float* invstd, double eps) {
    if (SampleRanges(problem).small) {
        write(nullptr);
        return norm_forward(problem, x, affine, y, mean, invstd, eps);
    }
    const NormPattern pattern = moments_pattern(problem);
    std::deque<ChannelSums> moments;
    for (int64_t s = 0; s < problem.samples; ++s)
        moments.emplace_back(pattern, problem.sample_size());
    WrittenChunks written(problem.samples, problem.rows, problem.channels, pattern.chunk,
                          [&](int64_t s, int64_t chunk) {
                              ChannelSums& sums = moments[static_cast<std::size_t>(s)];
                              sums.sum_chunk(chunk,
                                             moments_of(x + s * problem.sample_size(), sums));
                          });
    write(&written);
    written.finish();
    for (int64_t s = 0; s < problem.samples; ++s) {
        ChannelSums& sums = moments[static_cast<std::size_t>(s)];
        sums.add_chunks();
        write_statistics(problem, sums, mean + s * problem.groups, invstd + s * problem.groups,
                         eps);
    }
    norm_apply(problem, x, affine, mean, invstd, y);
}

template <class T>
void norm_apply(const NormProblem& problem, const T* x, NormAffine affine, const float* mean,
                const float* invstd, T* y) {
    SampleRanges(problem).run([&](int64_t, int64_t begin, int64_t end) {
        Columns columns(NormPattern(problem.channels), affine);
        for (int64_t s = begin; s < end; ++s) {
            const int64_t start = s * problem.sample_size(), first = s * problem.groups;
            set_map(problem, affine, mean + first, invstd + first, columns);
            normalise_sample(problem, x + start, y + start, columns);
        }
    });
}

template <class T>
void norm_backward(const NormProblem& problem, const T* grad, const T* x, NormAffine affine,
                   const float* mean, const float* invstd, NormGradients<T> gradients,
                   bool through_statistics) {
    const SampleRanges ranges(problem);
    const int64_t channels = problem.channels, step = 2 * channels;
    const bool needs_sums = through_statistics || gradients.weight || gradients.bias;
    Workspace<double> partial(ranges.count * step);  // bias, weight gradient of every range
    std::fill(partial.data(), partial.data() + ranges.count * step, 0.0);
    ranges.run([&](int64_t range, int64_t begin, int64_t end) {
        Columns columns(NormPattern(channels), affine);
        ChannelSums sums(columns.pattern, problem.sample_size());
        double* const bias = partial.data() + range * step;
        for (int64_t s = begin; s < end; ++s) {
            const int64_t start = s * problem.sample_size(), first = s * problem.groups;
            set_map(problem, affine, mean + first, invstd + first, columns);
            if (needs_sums) {
                sum_gradients(grad + start, x + start, sums, columns);
                add_affine_gradients(problem, sums, invstd + first, bias, bias + channels);
            }
            if (through_statistics)
                set_statistics_gradient(problem, affine, invstd + first, sums, columns);
            if (gradients.input)
                input_gradient_sample(problem, grad + start, x + start, gradients.input + start,
                                      columns);
        }
    });
    if (gradients.bias) write_sum(partial.data(), ranges.count, step, channels, gradients.bias);
    if (gradients.weight)
        write_sum(partial.data() + channels, ranges.count, step, channels, gradients.weight);
}

#define VOXELGRAD_NORM_PASSES(T)                                                                   \
    template void norm_forward(const NormProblem&, const T*, NormAffine, T*, float*, float*,       \
                               double);                                                            \
    template void norm_forward_of_written(const NormProblem&, const T*, const WriteInput&,         \
                                          NormAffine, T*, float*, float*, double);                 \
    template void norm_apply(const NormProblem&, const T*, NormAffine, const float*, const float*, \
                             T*);                                                                  \
    template void norm_backward(const NormProblem&, const T*, const T*, NormAffine, const float*,  \
                                const float*, NormGradients<T>, bool);

VOXELGRAD_NORM_PASSES(float)
VOXELGRAD_NORM_PASSES(bf16)

}  // namespace voxelgrad

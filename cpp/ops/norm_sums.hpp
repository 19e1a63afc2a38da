// Two sums for every channel of a norm's sample: in chunks that depend on the shape alone, which
// are added in order.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>

#include "core/parallel_for.hpp"
#include "core/pool.hpp"
#include "core/split.hpp"

namespace voxelgrad {

constexpr std::int64_t norm_chunk = 1 << 15;  // numbers; 128 KiB of float: small enough for L2

// Channels repeated until they fill whole vectors and enough of them.
struct NormPattern {
    std::int64_t channels, period, chunk;  // chunk: elements, whole periods

    explicit NormPattern(std::int64_t channel_count) : channels(channel_count) {
        constexpr std::int64_t vector = 32;  // whole vectors, and whole cache lines of bf16
        constexpr std::int64_t enough = 64, longest = 2048;
        constexpr std::int64_t fewest_rows = 16;  // so that sums stay few
        std::int64_t repeat = vector / std::gcd(channels, vector);
        while (channels * repeat < enough) repeat *= 2;
        period = channels * repeat <= longest ? channels * repeat : channels;
        chunk = std::max(fewest_rows, norm_chunk / period) * period;
    }
    std::int64_t chunks(std::int64_t size) const { return divide_up(size, chunk); }
};

class ChannelSums {
 public:
    // size: numbers of a sample.
    ChannelSums(const NormPattern& pattern, std::int64_t size)
        : pattern_(pattern),
          size_(size),
          totals_(2 * pattern.channels),
          partial_(pattern.chunks(size) * 2 * pattern.period) {}

    double first(std::int64_t c) const { return totals_[c]; }
    double second(std::int64_t c) const { return totals_[pattern_.channels + c]; }
    const NormPattern& pattern() const { return pattern_; }

    // sums(begin, count, first, second) writes the sums of one chunk for every column of the
    // pattern.
    template <class Sums>
    void compute(Sums&& sums) {
        parallel_for(pattern_.chunks(size_), [&](std::int64_t k) { sum_chunk(k, sums); });
        add_chunks();
    }

    // The same step by step: every chunk, in any order and on any thread, then their sum.
    template <class Sums>
    void sum_chunk(std::int64_t k, Sums&& sums) {
        double* const first = partial_.data() + k * 2 * pattern_.period;
        const std::int64_t begin = k * pattern_.chunk;
        sums(begin, std::min(pattern_.chunk, size_ - begin), first, first + pattern_.period);
        fold(first);
        fold(first + pattern_.period);
    }

    void add_chunks() {
        const std::int64_t channels = pattern_.channels;
        std::fill(totals_.data(), totals_.data() + 2 * channels, 0.0);
        for (std::int64_t k = 0; k < 2 * pattern_.chunks(size_); ++k) {
            const double* const columns = partial_.data() + k * pattern_.period;
            double* const totals = totals_.data() + k % 2 * channels;
            for (std::int64_t c = 0; c < channels; ++c) totals[c] += columns[c];
        }
    }

 private:
    // The channels are repeated a power of two times: halves are added until one is left.
    void fold(double* columns) const {
        for (std::int64_t half = pattern_.period / 2; half >= pattern_.channels; half /= 2)
            for (std::int64_t c = 0; c < half; ++c) columns[c] += columns[half + c];
    }

    NormPattern pattern_;
    std::int64_t size_;
    Workspace<double> totals_, partial_;
};

}  // namespace voxelgrad

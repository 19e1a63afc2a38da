// A convolution pass as a gather, for kernels: which source pixels a target pixel reads.
//
// The same tie as in cpp/ops/conv_geometry.hpp, and the same phases as in cpp/ops/conv_gather.hpp,
// but no table of taps: along an axis the taps of a phase follow each other at a constant step, and
// so do their offsets. Positions and offsets fit into int: the host checks that.
#pragma once

#include <algorithm>
#include <climits>
#include <cstdint>
#include <numeric>
#include <utility>

#include "core/check.hpp"
#include "core/split.hpp"
#include "cuda/core/divisor.hpp"
#include "cuda/core/platform.hpp"
#include "ops/conv_geometry.hpp"

namespace voxelgrad::cuda {

constexpr int most_places = 1 << 30;  // of an axis with its padding, so that sums of two fit

// One axis. Coarse from fine has one phase. Fine from coarse has one for each remainder of the
// target index by the stride.
struct GatherAxis {
    int target, source, phases, kernel, stride, padding, dilation;
    int common, period, inverse;  // gcd(stride, dilation), stride / common, and the inverse of
                                  // dilation / common modulo period
    bool is_fine;                 // the target

    // Target index = start + step * j for j in [0, count); source index = unit * j + offset.
    struct Phase {
        int start, step, count, unit;
        int first_tap, tap_step, taps, offset, offset_step;
        Divisor by_count, by_taps;
    };

    __device__ Phase phase(int number) const {
        Phase result = without_divisors(number);
        result.by_count = Divisor(result.count);
        result.by_taps = Divisor(result.taps);
        return result;
    }

    __device__ Phase without_divisors(int number) const {
        if (!is_fine) return {0, 1, target, stride, 0, 1, kernel, -padding, dilation, {}, {}};
        Phase result{number, stride, (target - number + stride - 1) / stride,
                     1,      0,      period,
                     0,      0,      -(dilation / common),
                     {},     {}};
        const int shifted = number + padding;
        if (shifted % common != 0) return result;  // no tap reaches these
        const auto residue = static_cast<std::int64_t>(shifted / common % period);
        result.first_tap = static_cast<int>(residue * inverse % period);
        if (result.first_tap >= kernel) return result;
        result.taps = (kernel - result.first_tap + period - 1) / period;
        const auto reach = static_cast<std::int64_t>(dilation) * result.first_tap;
        result.offset = static_cast<int>((shifted - reach) / stride);
        return result;
    }

    // The most target pixels and taps that a phase has.
    std::int64_t most_targets() const { return is_fine ? divide_up(target, stride) : target; }
    int most_taps() const { return is_fine ? static_cast<int>(divide_up(kernel, period)) : kernel; }
    // How many source pixels `targets` neighbours of a phase read, with those between them.
    std::int64_t reach(std::int64_t targets) const {
        return (targets - 1) * (is_fine ? 1 : stride) +
               (most_taps() - 1) * (is_fine ? dilation / common : dilation) + 1;
    }
};

inline int inverse_modulo(int value, int modulus) {
    std::int64_t r = modulus, next_r = value % modulus, t = 0, next_t = 1;
    while (next_r != 0) {
        const std::int64_t quotient = r / next_r;
        r -= quotient * next_r;
        t -= quotient * next_t;
        std::swap(r, next_r);
        std::swap(t, next_t);
    }
    return static_cast<int>(t < 0 ? t + modulus : t);
}

inline GatherAxis gather_axis(const ConvGeometry& g, int axis, bool to_fine) {
    const auto narrow = [](std::int64_t value) { return static_cast<int>(value); };
    GatherAxis result{};
    result.target = narrow(to_fine ? g.fine[axis] : g.coarse[axis]);
    result.source = narrow(to_fine ? g.coarse[axis] : g.fine[axis]);
    result.kernel = narrow(g.kernel[axis]);
    result.stride = narrow(g.stride[axis]);
    result.padding = narrow(g.padding[axis]);
    result.dilation = narrow(g.dilation[axis]);
    result.is_fine = to_fine;
    result.phases = to_fine ? std::min(result.stride, result.target) : 1;
    result.common = std::gcd(result.stride, result.dilation);
    result.period = result.stride / result.common;
    result.inverse = inverse_modulo(result.dilation / result.common, result.period);
    return result;
}

// A pixel's place, and how far from there a tap and a channel lie.
struct Place {
    int at[conv_axes];
    std::int64_t base;  // element number of channel 0 there, were it inside
};
struct Shift {
    int offset[conv_axes];
    std::int64_t distance;
};

// What no place is: no shift leads from there into an image.
__device__ constexpr Place no_place() { return {{INT_MIN / 2, 0, 0}, 0}; }
__device__ constexpr Shift no_shift() { return {{INT_MIN / 2, 0, 0}, 0}; }

struct Gather {
    GatherAxis axis[conv_axes];
    std::int64_t batch, source_pitch, target_pitch;  // channels of all groups

    struct Phase {
        GatherAxis::Phase axis[conv_axes];
        __device__ std::int64_t pixels() const {
            return std::int64_t(axis[0].count) * axis[1].count * axis[2].count;
        }
        __device__ int taps() const { return axis[0].taps * axis[1].taps * axis[2].taps; }
    };

    int phases() const { return axis[0].phases * axis[1].phases * axis[2].phases; }
    std::int64_t most_targets() const {
        return batch * axis[0].most_targets() * axis[1].most_targets() * axis[2].most_targets();
    }

    int most_taps() const {
        return axis[0].most_taps() * axis[1].most_taps() * axis[2].most_taps();
    }

    __device__ GatherAxis::Phase axis_phase(int number, int a) const {
        if (a < 2) number /= axis[2].phases;
        if (a < 1) number /= axis[1].phases;
        return axis[a].phase(a > 0 ? number % axis[a].phases : number);
    }

    // A target pixel of a phase: its image and its place there.
    struct Pixel {
        int at[conv_axes];
        std::int64_t image;
    };

    __device__ static Pixel pixel(const Phase& phase, std::int64_t number) {
        Pixel result;
        for (int a = conv_axes - 1; a >= 0; --a) {
            const auto count = static_cast<std::uint64_t>(phase.axis[a].count);
            const std::uint64_t rest = static_cast<std::uint64_t>(number) / count;
            result.at[a] = static_cast<int>(number - static_cast<std::int64_t>(rest * count));
            number = static_cast<std::int64_t>(rest);
        }
        result.image = number;
        return result;
    }

    // The pixel whose number is larger by `distance`, which is below most_places.
    __device__ static Pixel behind(const Phase& phase, Pixel pixel, int distance) {
        VOXELGRAD_UNROLL
        for (int a = conv_axes - 1; a >= 0; --a) {
            pixel.at[a] += distance;
            distance = phase.axis[a].by_count.split(pixel.at[a]);
        }
        pixel.image += distance;
        return pixel;
    }

    // Where a target pixel of a phase begins to read.
    __device__ Place place(const Phase& phase, const Pixel& pixel) const {
        Place result;
        std::int64_t line = pixel.image;
        VOXELGRAD_UNROLL
        for (int a = 0; a < conv_axes; ++a) {
            result.at[a] = pixel.at[a] * phase.axis[a].unit;
            line = line * axis[a].source + result.at[a];
        }
        result.base = line * source_pitch;
        return result;
    }

    // The element number of channel 0 of target pixel `number` of a phase.
    __device__ std::int64_t target(const Phase& phase, std::int64_t number) const {
        const Pixel at = pixel(phase, number);
        std::int64_t line = at.image;
        VOXELGRAD_UNROLL
        for (int a = 0; a < conv_axes; ++a)
            line = line * axis[a].target + phase.axis[a].start + phase.axis[a].step * at.at[a];
        return line * target_pitch;
    }

    // Tap number `tap` of a phase: how far it reaches, and `number`, which it has in the kernel.
    __device__ Shift shift(const Phase& phase, int tap, int& number) const {
        int t[conv_axes];
        t[2] = tap;
        t[1] = phase.axis[2].by_taps.split(t[2]);
        t[0] = phase.axis[1].by_taps.split(t[1]);
        Shift result;
        std::int64_t line = 0;
        number = 0;
        VOXELGRAD_UNROLL
        for (int a = 0; a < conv_axes; ++a) {
            const GatherAxis::Phase& p = phase.axis[a];
            result.offset[a] = p.offset + p.offset_step * t[a];
            line = line * axis[a].source + result.offset[a];
            number = number * axis[a].kernel + p.first_tap + p.tap_step * t[a];
        }
        result.distance = line * source_pitch;
        return result;
    }

    __device__ bool inside(const Place& place, const Shift& shift) const {
        bool result = true;
        VOXELGRAD_UNROLL
        for (int a = 0; a < conv_axes; ++a)
            result = result && static_cast<unsigned>(place.at[a] + shift.offset[a]) <
                                   static_cast<unsigned>(axis[a].source);
        return result;
    }

    // The element that lies `shift` from `place`; null outside the image, where zeros are.
    template <class T>
    __device__ const T* read(const T* source, const Place& place, const Shift& shift) const {
        return inside(place, shift) ? source + place.base + shift.distance : nullptr;
    }
};

// Fine from coarse, or coarse from fine.
inline Gather gather_of(const char* op, const ConvGeometry& g, bool to_fine) {
    Gather gather{};
    for (int a = 0; a < conv_axes; ++a) {
        check(g.fine[a] + 2 * g.padding[a] < most_places && g.coarse[a] < most_places, op,
              ": an axis of ", g.fine[a], " pixels padded by ", g.padding[a],
              " is too long; CUDA kernels take up to ", most_places, ": split the input");
        gather.axis[a] = gather_axis(g, a, to_fine);
    }
    check(g.weight_size() < INT_MAX, op, ": a weight of ", g.weight_size(),
          " elements is too large; CUDA kernels take up to ", INT_MAX);
    gather.batch = g.batch;
    const std::int64_t fine = g.groups * g.fine_channels, coarse = g.groups * g.coarse_channels;
    gather.source_pitch = to_fine ? coarse : fine;
    gather.target_pitch = to_fine ? fine : coarse;
    return gather;
}

}  // namespace voxelgrad::cuda

#include "ops/augment.hpp"

#include <cmath>
#include <numbers>

#include "core/check.hpp"
#include "core/parallel_for.hpp"
#include "ops/augment_arguments.hpp"

namespace voxelgrad {
namespace {

constexpr std::int64_t grain = 1 << 17;  // elements or voxels a piece: a slice is one piece

// Where voxel o of the output lies in the input.
template <int R>
struct Mapping {
    double matrix[R][R];
    double offset[R];
    const float* displacement;  // null for none
    std::int64_t out_shape[R];

    void locate(std::int64_t voxel, const std::int64_t at[R], double position[R]) const {
        for (int row = 0; row < R; ++row) {
            double sum = offset[row];
            for (int axis = 0; axis < R; ++axis)
                sum += matrix[row][axis] * static_cast<double>(at[axis]);
            position[row] = displacement ? sum + displacement[voxel * R + row] : sum;
        }
    }

    void unravel(std::int64_t voxel, std::int64_t at[R]) const {
        for (int axis = R - 1; axis >= 0; --axis) {
            at[axis] = voxel % out_shape[axis];
            voxel /= out_shape[axis];
        }
    }

    void advance(std::int64_t at[R]) const {
        for (int axis = R - 1; axis >= 0; --axis) {
            if (++at[axis] < out_shape[axis]) return;
            at[axis] = 0;
        }
    }
};

template <int R>
Mapping<R> mapping_of(View<const double> matrix, View<const double> offset,
                      const OptionalView<const float>& displacement, const std::int64_t* shape) {
    Mapping<R> mapping;
    for (int row = 0; row < R; ++row) {
        for (int axis = 0; axis < R; ++axis)
            mapping.matrix[row][axis] = matrix.data[row * R + axis];
        mapping.offset[row] = offset.data[row];
        mapping.out_shape[row] = shape[row];
    }
    mapping.displacement = displacement ? displacement.data : nullptr;
    return mapping;
}

template <int R>
void sample_linear(const View<const float>& image, const double position[R], const float* fill,
                   float* result) {
    const std::int64_t channels = image.last();
    std::int64_t low[R];
    float share[R];
    for (int axis = 0; axis < R; ++axis) {
        // Written so that NaN counts as outside.
        if (!(position[axis] > -1.0 && position[axis] < static_cast<double>(image[axis]))) {
            for (std::int64_t c = 0; c < channels; ++c) result[c] = fill[c];
            return;
        }
        const double floor = std::floor(position[axis]);
        low[axis] = static_cast<std::int64_t>(floor);
        share[axis] = static_cast<float>(position[axis] - floor);
    }
    constexpr int corners = 1 << R;
    const float* source[corners];
    float weight[corners];
    for (int corner = 0; corner < corners; ++corner) {
        bool inside = true;
        std::int64_t voxel = 0;
        weight[corner] = 1.0f;
        for (int axis = 0; axis < R; ++axis) {
            const int step = (corner >> axis) & 1;
            const std::int64_t index = low[axis] + step;
            weight[corner] *= step ? share[axis] : 1.0f - share[axis];
            inside = inside && index >= 0 && index < image[axis];
            voxel = voxel * image[axis] + index;
        }
        source[corner] = inside ? image.data + voxel * channels : fill;
    }
    for (std::int64_t c = 0; c < channels; ++c) {
        float sum = 0.0f;
        for (int corner = 0; corner < corners; ++corner) sum += weight[corner] * source[corner][c];
        result[c] = sum;
    }
}

template <int R>
std::int64_t sample_nearest(const View<const std::int64_t>& mask, const double position[R],
                            std::int64_t fill) {
    std::int64_t voxel = 0;
    for (int axis = 0; axis < R; ++axis) {
        const double nearest = std::floor(position[axis] + 0.5);
        if (!(nearest >= 0.0 && nearest < static_cast<double>(mask[axis]))) return fill;
        voxel = voxel * mask[axis] + static_cast<std::int64_t>(nearest);
    }
    return mask.data[voxel];
}

template <int R, class Sample>
void for_each_voxel(const Mapping<R>& mapping, Sample&& sample) {
    std::int64_t total = 1;
    for (int axis = 0; axis < R; ++axis) total *= mapping.out_shape[axis];
    parallel_for_ranges(total, grain, [&](std::int64_t begin, std::int64_t end) {
        std::int64_t at[R];
        mapping.unravel(begin, at);
        for (std::int64_t voxel = begin; voxel < end; ++voxel, mapping.advance(at)) {
            double position[R];
            mapping.locate(voxel, at, position);
            sample(voxel, position);
        }
    });
}

std::uint64_t mix(std::uint64_t z) {  // splitmix64 (Steele, Lea, Flood 2014)
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
}

// Two independent standard normal numbers from the bits of one hash.
void normal_pair(std::uint64_t seed, std::int64_t pair, float& first, float& second) {
    const std::uint64_t bits =
        mix(seed + (static_cast<std::uint64_t>(pair) + 1) * 0x9E3779B97F4A7C15ull);
    constexpr float unit = 1.0f / (1 << 24);
    // (0, 1]: its logarithm is finite; the largest normal is 5.8.
    const float u = static_cast<float>((bits >> 40) + 1) * unit;
    const float angle = static_cast<float>((bits >> 8) & 0xFFFFFF) * unit;
    const float radius = std::sqrt(-2.0f * std::log(u));
    const float turn = 2.0f * std::numbers::pi_v<float> * angle;
    first = radius * std::cos(turn);
    second = radius * std::sin(turn);
}

}  // namespace

void resample_linear(View<const float> image, View<float> output, View<const double> matrix,
                     View<const double> offset, OptionalView<const float> displacement,
                     View<const float> fill) {
    const int rank = image.rank - 1;
    check_linear(image, output, fill);
    check_mapping("resample_linear", rank, matrix, offset, displacement, output.shape);
    const std::int64_t channels = image.last();
    const auto run = [&]<int R>(const Mapping<R>& mapping) {
        for_each_voxel(mapping, [&](std::int64_t voxel, const double* position) {
            sample_linear<R>(image, position, fill.data, output.data + voxel * channels);
        });
    };
    if (rank == 2)
        run(mapping_of<2>(matrix, offset, displacement, output.shape));
    else
        run(mapping_of<3>(matrix, offset, displacement, output.shape));
}

void resample_nearest(View<const std::int64_t> mask, View<std::int64_t> output,
                      View<const double> matrix, View<const double> offset,
                      OptionalView<const float> displacement, std::int64_t fill) {
    check(output.rank == mask.rank, "resample_nearest: output ", output,
          " must have the rank of mask ", mask);
    check_mapping("resample_nearest", mask.rank, matrix, offset, displacement, output.shape);
    const auto run = [&]<int R>(const Mapping<R>& mapping) {
        for_each_voxel(mapping, [&](std::int64_t voxel, const double* position) {
            output.data[voxel] = sample_nearest<R>(mask, position, fill);
        });
    };
    if (mask.rank == 2)
        run(mapping_of<2>(matrix, offset, displacement, output.shape));
    else
        run(mapping_of<3>(matrix, offset, displacement, output.shape));
}

void add_gaussian_noise(View<const float> image, View<float> output, float std,
                        std::uint64_t seed) {
    check_same_shape("add_gaussian_noise", "image", image, "output", output);
    const std::int64_t size = image.size();
    parallel_for_ranges((size + 1) / 2, grain / 2, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t pair = begin; pair < end; ++pair) {
            float first, second;
            normal_pair(seed, pair, first, second);
            const std::int64_t i = 2 * pair;
            output.data[i] = image.data[i] + std * first;
            if (i + 1 < size) output.data[i + 1] = image.data[i + 1] + std * second;
        }
    });
}

void adjust_intensity(View<const float> image, View<float> output, View<const float> low,
                      View<const float> high, View<const float> gamma, View<const float> scale,
                      View<const float> shift) {
    check_intensity(image, output, {&low, &high, &gamma, &scale, &shift});
    const std::int64_t channels = image.last();
    if (image.size() == 0) return;
    const auto adjust = [&](float x, std::int64_t c) {
        const float range = high.data[c] - low.data[c];
        if (gamma.data[c] != 1.0f && range > 0.0f) {
            const float t = std::fmin(std::fmax((x - low.data[c]) / range, 0.0f), 1.0f);
            x = low.data[c] + range * std::pow(t, gamma.data[c]);
        }
        return scale.data[c] * x + shift.data[c];
    };
    const std::int64_t voxels = image.size() / channels;
    parallel_for_ranges(voxels, grain, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin * channels; i < end * channels; ++i)
            output.data[i] = adjust(image.data[i], i % channels);
    });
}

}  // namespace voxelgrad

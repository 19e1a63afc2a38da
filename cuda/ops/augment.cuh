// Changing training images at random; semantics and random bits as in cpp/ops/augment.hpp. Matrix
// and offset are a few numbers and come from the host.
#pragma once

#include <cmath>
#include <vector>

#include "cuda/core/map.hpp"
#include "cuda/core/random.hpp"
#include "ops/augment_arguments.hpp"

namespace voxelgrad::cuda {

constexpr int most_spatial = 3;

// Where voxel o of the output lies in the input.
struct VoxelMapping {
    int rank;
    double matrix[most_spatial][most_spatial], offset[most_spatial];
    const float* displacement;  // null for none
    std::int64_t input[most_spatial], output[most_spatial];

    VoxelMapping(const char* op, const std::int64_t* input_shape, const std::int64_t* output_shape,
                 int rank, const std::vector<double>& matrix_rows,
                 const std::vector<double>& offsets, const OptionalView<const float>& displacements)
        : rank(rank), displacement(displacements ? displacements.data : nullptr) {
        const View<const double> whole{matrix_rows.data(), 2, {rank, rank}};
        const View<const double> start{
            offsets.data(), 1, {static_cast<std::int64_t>(offsets.size())}};
        check(matrix_rows.size() == static_cast<std::size_t>(rank) * rank, op, ": matrix has ",
              matrix_rows.size(), " numbers; it must be (", rank, ", ", rank, ")");
        check_mapping(op, rank, whole, start, displacements, output_shape);
        for (int row = 0; row < rank; ++row) {
            for (int axis = 0; axis < rank; ++axis)
                matrix[row][axis] = matrix_rows[row * rank + axis];
            offset[row] = offsets[row];
            input[row] = input_shape[row];
            output[row] = output_shape[row];
        }
    }
    std::int64_t voxels() const {
        std::int64_t count = 1;
        for (int axis = 0; axis < rank; ++axis) count *= output[axis];
        return count;
    }
    __device__ void locate(std::int64_t voxel, double (&position)[most_spatial]) const {
        double at[most_spatial];
        std::int64_t rest = voxel;
        for (int axis = rank - 1; axis >= 0; --axis) {
            at[axis] = static_cast<double>(rest % output[axis]);
            rest /= output[axis];
        }
        for (int row = 0; row < rank; ++row) {
            double sum = offset[row];
            for (int axis = 0; axis < rank; ++axis) sum += matrix[row][axis] * at[axis];
            position[row] = displacement ? sum + displacement[voxel * rank + row] : sum;
        }
    }
};

// A corner of the cell of voxels around a position.
struct Corner {
    bool inside = true;
    std::int64_t voxel = 0;
    float weight = 1.0f;

    __device__ Corner(const VoxelMapping& mapping, const double (&position)[most_spatial],
                      int number) {
        for (int axis = 0; axis < mapping.rank; ++axis) {
            const double low = floor(position[axis]);
            const float share = static_cast<float>(position[axis] - low);
            const int step = number >> axis & 1;
            const std::int64_t index = static_cast<std::int64_t>(low) + step;
            weight *= step ? share : 1.0f - share;
            inside = inside && index >= 0 && index < mapping.input[axis];
            voxel = voxel * mapping.input[axis] + index;
        }
    }
};

// A thread computes one voxel.
static __global__ void resample_linear_kernel(VoxelMapping mapping, std::int64_t voxels,
                                              std::int64_t channels, const float* image,
                                              const float* fill, float* output) {
    const std::int64_t voxel = std::int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (voxel >= voxels) return;
    double position[most_spatial];
    mapping.locate(voxel, position);
    bool near = true;
    for (int axis = 0; axis < mapping.rank; ++axis)  // written so that NaN counts as outside
        near = near && position[axis] > -1.0 &&
               position[axis] < static_cast<double>(mapping.input[axis]);
    for (std::int64_t c = 0; c < channels; ++c) {
        float sum = near ? 0.0f : fill[c];
        for (int number = 0; near && number < 1 << mapping.rank; ++number) {
            const Corner corner(mapping, position, number);
            sum += corner.weight * (corner.inside ? image[corner.voxel * channels + c] : fill[c]);
        }
        output[voxel * channels + c] = sum;
    }
}

static __global__ void resample_nearest_kernel(VoxelMapping mapping, std::int64_t voxels,
                                               const std::int64_t* mask, std::int64_t fill,
                                               std::int64_t* output) {
    const std::int64_t voxel = std::int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (voxel >= voxels) return;
    double position[most_spatial];
    mapping.locate(voxel, position);
    std::int64_t source = 0;
    bool inside = true;
    for (int axis = 0; axis < mapping.rank; ++axis) {
        const double nearest = floor(position[axis] + 0.5);
        inside = inside && nearest >= 0.0 && nearest < static_cast<double>(mapping.input[axis]);
        if (inside) source = source * mapping.input[axis] + static_cast<std::int64_t>(nearest);
    }
    output[voxel] = inside ? mask[source] : fill;
}

inline void resample_linear(Stream stream, View<const float> image, View<float> output,
                            const std::vector<double>& matrix, const std::vector<double>& offset,
                            OptionalView<const float> displacement, View<const float> fill) {
    check_linear(image, output, fill);
    const VoxelMapping mapping("resample_linear", image.shape, output.shape, image.rank - 1, matrix,
                               offset, displacement);
    launch("resample_linear", stream, threads_for(mapping.voxels()), resample_linear_kernel,
           mapping, mapping.voxels(), image.last(), image.data, fill.data, output.data);
}

inline void resample_nearest(Stream stream, View<const std::int64_t> mask,
                             View<std::int64_t> output, const std::vector<double>& matrix,
                             const std::vector<double>& offset,
                             OptionalView<const float> displacement, std::int64_t fill) {
    check(output.rank == mask.rank, "resample_nearest: output ", output,
          " must have the rank of mask ", mask);
    const VoxelMapping mapping("resample_nearest", mask.shape, output.shape, mask.rank, matrix,
                               offset, displacement);
    launch("resample_nearest", stream, threads_for(mapping.voxels()), resample_nearest_kernel,
           mapping, mapping.voxels(), mask.data, fill, output.data);
}

// Two independent standard normal numbers from the bits of one hash (Box and Muller 1958).
struct GaussianNoise {
    float std;
    std::uint64_t seed;

    __device__ float operator()(std::int64_t number, float value) const {
        const std::uint64_t bits = random_bits(seed, number / 2);
        constexpr float unit = 1.0f / (1 << 24), whole_turn = 6.28318531f;
        // (0, 1]: its logarithm is finite; the largest normal is 5.8.
        const float u = static_cast<float>((bits >> 40) + 1) * unit;
        const float turn = whole_turn * (static_cast<float>((bits >> 8) & 0xFFFFFF) * unit);
        const float radius = sqrtf(-2.0f * logf(u));
        return value + std * (radius * (number % 2 ? sinf(turn) : cosf(turn)));
    }
};

struct Intensity {
    std::int64_t channels;
    const float *low, *high, *gamma, *scale, *shift;

    __device__ float operator()(std::int64_t number, float x) const {
        const std::int64_t c = number % channels;
        const float range = high[c] - low[c];
        if (gamma[c] != 1.0f && range > 0.0f) {
            const float t = fminf(fmaxf((x - low[c]) / range, 0.0f), 1.0f);
            x = low[c] + range * powf(t, gamma[c]);
        }
        return scale[c] * x + shift[c];
    }
};

inline void add_gaussian_noise(Stream stream, View<const float> image, View<float> output,
                               float std, std::uint64_t seed) {
    check_same_shape("add_gaussian_noise", "image", image, "output", output);
    map("add_gaussian_noise", stream, GaussianNoise{std, seed}, image.size(), output.data,
        image.data);
}

inline void adjust_intensity(Stream stream, View<const float> image, View<float> output,
                             View<const float> low, View<const float> high, View<const float> gamma,
                             View<const float> scale, View<const float> shift) {
    check_intensity(image, output, {&low, &high, &gamma, &scale, &shift});
    const Intensity adjust{image.last(), low.data, high.data, gamma.data, scale.data, shift.data};
    map("adjust_intensity", stream, adjust, image.size(), output.data, image.data);
}

}  // namespace voxelgrad::cuda

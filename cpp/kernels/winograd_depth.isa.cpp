#include "kernels/winograd_depth.hpp"

#include "kernels/winograd_transforms.hpp"

namespace voxelgrad::VOXELGRAD_ISA {
namespace {

// Lines of vectors: number k of a line lies k * stride floats behind the first. The numbers of a
// line are read before the first is written.
template <class Transform>
void transform_lines(const float* from, std::int64_t from_stride, float* to, std::int64_t to_stride,
                     std::int64_t size) {
    for (std::int64_t i = 0; i < size; i += lanes) {
        Vec line[Transform::from];
#pragma GCC unroll 8
        for (int k = 0; k < Transform::from; ++k) line[k] = load(from + k * from_stride + i);
        transform_row<Transform, 0>(line, to + i, to_stride, [](float* p, Vec v) { store(p, v); });
    }
}

template <int slices_of_group, class Transform>
void slices_to_parts(const float* slices, std::int64_t size, std::int64_t groups, float* parts,
                     std::int64_t stride) {
    for (std::int64_t group = 0; group < groups; ++group)
        transform_lines<Transform>(slices + slices_of_group * group * size, size,
                                   parts + group * size, stride, size);
}

template <int slices_of_group>
void output(const float* parts, std::int64_t stride, std::int64_t size, std::int64_t groups,
            float* slices) {
    for (std::int64_t group = 0; group < groups; ++group)
        transform_lines<OutputTransform<Filter{slices_of_group}>>(
            parts + group * size, stride, slices + slices_of_group * group * size, size, size);
}

template <class Transform>
void in_place(float* data, std::int64_t stride) {
    transform_lines<Transform>(data, stride, data, stride, stride);
}

template <int slices_of_group>
constexpr WinogradDepthTransforms transforms = {
    slices_to_parts<slices_of_group, InputTransform<Filter{slices_of_group}>>,
    slices_to_parts<slices_of_group, GradientTransform<Filter{slices_of_group}>>,
    output<slices_of_group>,
    in_place<WeightTransform<Filter{slices_of_group}>>,
    in_place<WeightGradientTransform<Filter{slices_of_group}>>,
};

}  // namespace

extern const WinogradDepthKernels winograd_depth = {transforms<2>, transforms<4>};

}  // namespace voxelgrad::VOXELGRAD_ISA

#include "kernels/transpose.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

#include "core/check.hpp"
#include "core/parallel_for.hpp"
#include "core/streaming.hpp"
#include "ops/moved_axes.hpp"
#include "ops/shape.hpp"

namespace voxelgrad {
namespace {

using std::int64_t;

constexpr int64_t block = 256;  // a side of what one thread moves at a time

struct Position {
    int64_t input = 0, output = 0;
};

Position position_of(const std::vector<MovedAxis>& axes, int64_t number) {
    Position at;
    for (std::size_t a = axes.size(); a-- > 0;) {
        const int64_t i = number % axes[a].length;
        number /= axes[a].length;
        at.input += i * axes[a].input_step;
        at.output += i * axes[a].output_step;
    }
    return at;
}

int64_t positions(const std::vector<MovedAxis>& axes) {
    int64_t count = 1;
    for (const MovedAxis& axis : axes) count *= axis.length;
    return count;
}

// The last axis stays the last: its elements move together.
template <class T>
void copy_lines(const T* input, T* output, std::vector<MovedAxis> axes) {
    const int64_t length = axes.back().length;
    axes.pop_back();
    constexpr int64_t grain = block * block;
    parallel_for_ranges(
        positions(axes), std::max<int64_t>(1, grain / length), [&](int64_t begin, int64_t end) {
            for (int64_t number = begin; number < end; ++number)
                std::memcpy(output + number * length, input + position_of(axes, number).input,
                            static_cast<std::size_t>(length) * sizeof(T));
        });
}

// Matrices: their rows are the input's last axis, their columns the output's.
template <class T>
void transpose_matrices(const T* input, T* output, std::vector<MovedAxis> axes) {
    const MovedAxis column = axes.back();
    axes.pop_back();
    const auto last_of_input = std::find_if(
        axes.begin(), axes.end(), [](const MovedAxis& axis) { return axis.input_step == 1; });
    const MovedAxis row = *last_of_input;
    axes.erase(last_of_input);
    const int64_t bands = (row.length + block - 1) / block;
    const int64_t strips = (column.length + block - 1) / block;
    const int64_t matrices = positions(axes);
    const int64_t size = matrices * row.length * column.length;
    const bool past_cache = worth_streaming(output, size, column.length);
    parallel_for(matrices * bands * strips, [&](int64_t piece) {
        const int64_t r = piece / strips % bands * block, c = piece % strips * block;
        const Position at = position_of(axes, piece / strips / bands);
        transpose_kernels<T>().matrix(
            input + at.input + r + c * column.input_step, column.input_step,
            output + at.output + r * row.output_step + c, row.output_step,
            std::min(block, row.length - r), std::min(block, column.length - c), past_cache);
    });
}

}  // namespace

template <class T>
void transpose(View<const T> input, View<T> output, const Dims& axes) {
    check_transpose(input, output, axes);
    if (input.size() == 0) return;
    const std::vector<MovedAxis> merged = merged_axes(input, axes);
    if (merged.back().input_step == 1)
        copy_lines(input.data, output.data, merged);
    else
        transpose_matrices(input.data, output.data, merged);
}

template void transpose(View<const float>, View<float>, const Dims&);
template void transpose(View<const bf16>, View<bf16>, const Dims&);

}  // namespace voxelgrad

#include "ops/shape.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "core/check.hpp"
#include "core/parallel_for.hpp"
#include "core/streaming.hpp"
#include "kernels/copy.hpp"
#include "ops/pad_axis.hpp"

namespace voxelgrad {
namespace {

using std::int64_t;

constexpr int64_t grain = 1 << 15;  // elements a chunk

void copy(const float* source, float* target, int64_t count, bool past_cache) {
    if (past_cache) return copy_kernels().past_cache(source, target, count);
    if (count > 8) {  // memcpy is a call; a handful of values is not worth one
        std::memcpy(target, source, static_cast<std::size_t>(count) * sizeof(float));
        return;
    }
    for (int64_t i = 0; i < count; ++i) target[i] = source[i];
}

// What one array is made of, along its concatenated axis and all behind it.
struct Piece {
    const float* data;
    int64_t length, end;  // end: in the output's row
};

// Output elements [begin, end), where rows consist of the pieces' rows.
void concat_range(const std::vector<Piece>& pieces, int64_t row_length, float* output,
                  int64_t begin, int64_t end, bool past_cache) {
    int64_t row = begin / row_length, column = begin % row_length;
    std::size_t p = 0;
    while (pieces[p].end <= column) ++p;
    for (int64_t at = begin; at < end;) {
        const Piece& piece = pieces[p];
        const int64_t count = std::min(piece.end - column, end - at);
        const int64_t within = column - (piece.end - piece.length);
        copy(piece.data + row * piece.length + within, output + at, count, past_cache);
        at += count;
        column += count;
        if (++p < pieces.size()) continue;
        p = 0;
        column = 0;
        ++row;
    }
    if (past_cache) copy_kernels().fence();
}

// A run of elements of the innermost padded axis that are neighbours in the input too.
struct Run {
    int64_t source, target, count;  // source -1: the constant
};

std::vector<Run> runs_of(const PadAxis& axis, PadMode mode) {
    std::vector<Run> runs;
    for (int64_t i = 0; i < axis.outer; ++i) {
        const int64_t source = axis.source(i, mode);
        const bool continues =
            !runs.empty() && (source < 0 ? runs.back().source < 0
                                         : runs.back().source >= 0 &&
                                               source == runs.back().source + runs.back().count);
        if (continues)
            ++runs.back().count;
        else
            runs.push_back({source, i, 1});
    }
    return runs;
}

// Neighbouring axes that are neither padded nor cut count as one.
std::vector<PadAxis> merge_whole_axes(const std::vector<PadAxis>& axes) {
    std::vector<PadAxis> merged;
    for (const PadAxis& axis : axes) {
        if (!merged.empty() && merged.back().is_whole() && axis.is_whole()) {
            merged.back().inner *= axis.inner;
            merged.back().outer *= axis.outer;
        } else {
            merged.push_back(axis);
        }
    }
    return merged;
}

// The line of the input that line `number` of the output shows; -1: a line of the constant.
int64_t source_line(const std::vector<PadAxis>& outer_axes, int64_t number, PadMode mode) {
    int64_t line = 0, stride = 1;
    for (std::size_t a = outer_axes.size(); a-- > 0;) {
        const int64_t source = outer_axes[a].source(number % outer_axes[a].outer, mode);
        if (source < 0) return -1;
        line += source * stride;
        stride *= outer_axes[a].inner;
        number /= outer_axes[a].outer;
    }
    return line;
}

void copy_padded(const float* input, float* output, std::vector<PadAxis> axes, PadMode mode,
                 float value) {
    axes = merge_whole_axes(axes);
    int64_t block = 1;
    if (axes.size() > 1 && axes.back().is_whole()) {
        block = axes.back().inner;
        axes.pop_back();
    }
    const PadAxis line_axis = axes.back();
    axes.pop_back();
    const std::vector<Run> runs = runs_of(line_axis, mode);
    const int64_t length = line_axis.outer * block;
    int64_t lines = 1;
    for (const PadAxis& axis : axes) lines *= axis.outer;

    int64_t unit = length;  // what all runs begin at and end at multiples of
    for (const Run& run : runs) unit = std::gcd(unit, run.target * block);
    const bool past_cache = worth_streaming(output, lines * length, unit);

    const auto write_line = [&](int64_t number) {
        float* const target = output + number * length;
        const int64_t line = source_line(axes, number, mode);
        if (line < 0) return std::fill(target, target + length, value);
        const float* const source = input + line * line_axis.inner * block;
        for (const Run& run : runs) {
            float* const begin = target + run.target * block;
            if (run.source < 0)
                std::fill(begin, begin + run.count * block, value);
            else
                copy(source + run.source * block, begin, run.count * block, past_cache);
        }
    };
    if (length == 0) return;
    parallel_for_ranges(lines, std::max<int64_t>(1, grain / length),
                        [&](int64_t begin, int64_t end) {
                            for (int64_t number = begin; number < end; ++number) write_line(number);
                            if (past_cache) copy_kernels().fence();
                        });
}

}  // namespace

void concat(const std::vector<View<const float>>& inputs, View<float> output, int axis) {
    check(axis >= 0 && axis < output.rank, "concat: axis is ", axis, " but output ", output,
          " has ", output.rank, " axes");
    const int64_t trailing = output.count(axis + 1, output.rank);
    std::vector<Piece> pieces;
    int64_t total = 0;
    for (const View<const float>& input : inputs) {
        bool fits = input.rank == output.rank;
        for (int a = 0; fits && a < output.rank; ++a) fits = a == axis || input[a] == output[a];
        check(fits, "concat: input ", input, " must agree with output ", output,
              " except along axis ", axis);
        total += input[axis];
        if (input.size() > 0)
            pieces.push_back({input.data, input[axis] * trailing, total * trailing});
    }
    check(total == output[axis], "concat: the inputs have ", total, " elements along axis ", axis,
          " but output is ", output);
    if (output.size() == 0) return;
    int64_t unit = 0;  // what all pieces' lengths are multiples of
    for (const Piece& piece : pieces) unit = std::gcd(unit, piece.length);
    const bool past_cache = worth_streaming(output.data, output.size(), unit);
    parallel_for_ranges(output.size(), grain, [&](int64_t begin, int64_t end) {
        concat_range(pieces, output[axis] * trailing, output.data, begin, end, past_cache);
    });
}

void slice_forward(View<const float> input, View<float> output, const Dims& start) {
    check(input.rank == output.rank && start.rank == input.rank && input.rank > 0,
          "slice_forward: input ", input, ", output ", output,
          " and start must have as many axes, at least one");
    std::vector<PadAxis> axes;
    for (int a = 0; a < input.rank; ++a) {
        check(start[a] >= 0 && start[a] + output[a] <= input[a], "slice_forward: axis ", a,
              " of input ", input, " has no ", output[a], " elements from ", start[a]);
        axes.push_back({input[a], output[a], -start[a]});
    }
    if (output.size() > 0) copy_padded(input.data, output.data, axes, PadMode::constant, 0.0f);
}

void pad_forward(View<const float> input, View<float> output, const Dims& before,
                 const std::string& mode, float value) {
    const PadMode how = pad_mode("pad_forward", mode);
    check(input.rank == output.rank && before.rank == input.rank && input.rank > 0,
          "pad_forward: input ", input, ", output ", output,
          " and before must have as many axes, at least one");
    std::vector<PadAxis> axes;
    for (int a = 0; a < input.rank; ++a) {
        check(before[a] >= 0 && before[a] + input[a] <= output[a], "pad_forward: axis ", a,
              " of input ", input, " after ", before[a], " elements does not fit in output ",
              output);
        check(input[a] > 0 || how == PadMode::constant || output[a] == 0, "pad_forward: input ",
              input, " has an empty axis; only a constant can pad it");
        axes.push_back({input[a], output[a], before[a]});
    }
    if (output.size() > 0) copy_padded(input.data, output.data, axes, how, value);
}

}  // namespace voxelgrad

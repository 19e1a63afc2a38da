#include "ops/shape.hpp"

#include <algorithm>
#include <numeric>

#include "core/check.hpp"
#include "core/streaming.hpp"
#include "ops/copy_rows.hpp"
#include "ops/pad_axis.hpp"

namespace voxelgrad {
namespace {

using std::int64_t;

// A run of positions along an axis that are neighbours in the input too.
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

// Where position `number` of the outer axes lies in the input; -1: in the constant.
int64_t source_position(const std::vector<PadAxis>& axes, int64_t number, PadMode mode) {
    int64_t position = 0, stride = 1;
    for (std::size_t a = axes.size(); a-- > 0;) {
        const int64_t source = axes[a].source(number % axes[a].outer, mode);
        if (source < 0) return -1;
        position += source * stride;
        stride *= axes[a].inner;
        number /= axes[a].outer;
    }
    return position;
}

// The part of a run, times `unit`, that lies in [begin, end).
Run clip(const Run& run, int64_t unit, int64_t begin, int64_t end) {
    const int64_t first = std::max(run.target * unit, begin);
    const int64_t last = std::min((run.target + run.count) * unit, end);
    const int64_t source = run.source < 0 ? -1 : run.source * unit + first - run.target * unit;
    return {source, first, std::max<int64_t>(last - first, 0)};
}

// The padded (or cut) array as planes of lines; a line's positions are blocks of elements.
template <class T>
struct Padding {
    std::vector<PadAxis> outer;  // of the planes
    PadAxis lines{1, 1, 0}, positions{1, 1, 0};
    int64_t block = 1;
    PadMode mode;
    T value;
    std::vector<Run> line_runs, position_runs;

    Padding(const std::vector<PadAxis>& whole_axes, PadMode how, T constant)
        : outer(merge_whole_axes(whole_axes)), mode(how), value(constant) {
        if (outer.size() > 1 && outer.back().is_whole()) block = take_last().inner;
        if (!outer.empty()) positions = take_last();  // a single number has no axis
        if (!outer.empty()) lines = take_last();
        line_runs = runs_of(lines, mode);
        position_runs = runs_of(positions, mode);
    }

    PadAxis take_last() {
        const PadAxis axis = outer.back();
        outer.pop_back();
        return axis;
    }
    int64_t line_length() const { return positions.outer * block; }
    int64_t line_count() const {
        int64_t count = lines.outer;
        for (const PadAxis& axis : outer) count *= axis.outer;
        return count;
    }
    // What all runs of a line begin at and end at multiples of.
    int64_t unit() const {
        int64_t unit = line_length();
        for (const Run& run : position_runs) unit = std::gcd(unit, run.target * block);
        return unit;
    }
};

template <class T>
void fill_rows(Rows<T> target, int64_t rows, int64_t columns, T value) {
    for (int64_t row = 0; row < rows; ++row) std::fill_n(target.at(row, 0).data, columns, value);
}

// Writes the columns of `box` in lines that are neighbours in the input, from `source` on.
template <class T>
void copy_lines(const Padding<T>& padding, Rows<const T> source, Rows<T> target, const Box& box,
                bool past_cache) {
    const int64_t lines = box.row_end - box.row;
    for (const Run& positions : padding.position_runs) {
        const Run run = clip(positions, padding.block, box.column, box.column_end);
        if (run.count == 0) continue;
        const Rows<T> to = target.at(box.row, run.target);
        if (run.source < 0)
            fill_rows(to, lines, run.count, padding.value);
        else
            copy_rows(source.at(0, run.source), to, lines, run.count, past_cache);
    }
}

template <class T>
void copy_padded(const T* input, T* output, const Padding<T>& padding) {
    const Rows<const T> source{input, padding.positions.inner * padding.block};
    const Rows<T> target{output, padding.line_length()};
    const int64_t count = padding.line_count(), height = padding.lines.outer;
    const bool past_cache = worth_streaming(output, count * target.pitch, padding.unit());
    for_boxes(count, target.pitch, [&](Box box) {
        const int64_t end = box.row_end;
        for (; box.row < end; box.row = box.row_end) {
            const int64_t first = box.row / height * height;  // of the plane
            const int64_t plane = source_position(padding.outer, box.row / height, padding.mode);
            const auto run = std::upper_bound(
                padding.line_runs.begin(), padding.line_runs.end(), box.row - first,
                [](int64_t at, const Run& r) { return at < r.target + r.count; });
            const Run lines = clip(*run, 1, box.row - first, end - first);
            box.row_end = box.row + lines.count;
            if (plane < 0 || lines.source < 0)
                fill_rows(target.at(box.row, box.column), lines.count, box.column_end - box.column,
                          padding.value);
            else
                copy_lines(padding, source.at(plane * padding.lines.inner + lines.source, 0),
                           target, box, past_cache);
        }
    });
}

}  // namespace

template <class T>
void slice_forward(View<const T> input, View<T> output, const Dims& start) {
    const auto axes = slice_axes(input, output, start);
    if (output.size() > 0)
        copy_padded(input.data, output.data, Padding<T>(axes, PadMode::constant, T{}));
}

template <class T>
void pad_forward(View<const T> input, View<T> output, const Dims& before, const std::string& mode,
                 float value) {
    const PadMode how = pad_mode("pad_forward", mode);
    const auto axes = pad_axes(input, output, before, how);
    if (output.size() > 0)
        copy_padded(input.data, output.data, Padding<T>(axes, how, rounded_to<T>(value)));
}

template void slice_forward(View<const float>, View<float>, const Dims&);
template void slice_forward(View<const bf16>, View<bf16>, const Dims&);
template void pad_forward(View<const float>, View<float>, const Dims&, const std::string&, float);
template void pad_forward(View<const bf16>, View<bf16>, const Dims&, const std::string&, float);

}  // namespace voxelgrad

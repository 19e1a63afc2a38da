// Depthwise convolution without copies: each run of target pixels of a row, of which every tap sees
// a pixel inside the image, is computed in one sweep.
#include "kernels/conv_depthwise.hpp"

#include <algorithm>

#include "core/parallel_for.hpp"
#include "core/pool.hpp"
#include "core/split.hpp"
#include "core/streaming.hpp"
#include "kernels/copy.hpp"
#include "ops/conv_algorithms.hpp"
#include "ops/conv_gather.hpp"

namespace voxelgrad {
namespace {

constexpr std::int64_t task_size = 1 << 16;  // floats of the target

bool inside(std::int64_t at, std::int64_t extent) { return at >= 0 && at < extent; }

// A phase of the gather, and the two arrays that it ties together.
struct Grid {
    const GatherPhase& phase;
    const std::int64_t* source_extent;
    const std::int64_t* target_extent;
    std::int64_t channels;

    std::int64_t rows() const { return phase.count[0] * phase.count[1]; }  // of an image
    std::int64_t rows_of_task() const {
        return std::max<std::int64_t>(
            1, task_size / std::max<std::int64_t>(1, phase.count[2] * channels));
    }
};

// Target pixels [begin, end) of a row of the phase.
struct Range {
    std::int64_t begin, end;
};

// The columns at which every tap is inside the image.
Range inner_columns(const Grid& grid) {
    const GatherPhase& phase = grid.phase;
    const std::int64_t unit = phase.unit[2], left = grid.source_extent[2] - phase.high[2];
    const std::int64_t begin = phase.low[2] < 0 ? divide_up(-phase.low[2], unit) : 0;
    const std::int64_t end = left <= 0 ? 0 : divide_up(left, unit);
    return {std::min(begin, phase.count[2]),
            std::clamp(end, std::min(begin, phase.count[2]), phase.count[2])};
}

// Calls body(run, first target pixel) for the columns in `columns` of row `row`, counted through
// all images. Taps that are outside at the first column are left out.
template <class Body>
void visit(const Grid& grid, const float* source, std::int64_t row, Range columns, Body& body) {
    const GatherPhase& phase = grid.phase;
    const std::int64_t* in = grid.source_extent;
    const std::int64_t* out = grid.target_extent;
    const std::int64_t h = row % phase.count[1], d = row / phase.count[1] % phase.count[0];
    const std::int64_t image = row / grid.rows();
    std::vector<const float*> pointers;
    std::vector<std::int64_t> numbers;
    for (const GatherTap& tap : phase.taps) {
        const std::int64_t depth = phase.unit[0] * d + tap.offset[0];
        const std::int64_t height = phase.unit[1] * h + tap.offset[1];
        const std::int64_t column = phase.unit[2] * columns.begin + tap.offset[2];
        if (!inside(depth, in[0]) || !inside(height, in[1]) || !inside(column, in[2])) continue;
        const std::int64_t pixel = ((image * in[0] + depth) * in[1] + height) * in[2] + column;
        pointers.push_back(source + pixel * grid.channels);
        numbers.push_back(tap.number);
    }
    const auto at = [&](int axis, std::int64_t j) {
        return phase.start[axis] + phase.step[axis] * j;
    };
    const DepthwiseRun run{pointers.data(),
                           numbers.data(),
                           static_cast<std::int64_t>(numbers.size()),
                           phase.unit[2] * grid.channels,
                           phase.step[2] * grid.channels,
                           columns.end - columns.begin,
                           grid.channels};
    body(run, ((image * out[0] + at(0, d)) * out[1] + at(1, h)) * out[2] + at(2, columns.begin));
}

// Calls body for all columns of a row: one by one where a tap may be outside, at once between.
template <class Body>
void visit_row(const Grid& grid, const float* source, std::int64_t row, Body body) {
    const Range inner = inner_columns(grid);
    for (std::int64_t j = 0; j < inner.begin; ++j) visit(grid, source, row, {j, j + 1}, body);
    if (inner.end > inner.begin) visit(grid, source, row, inner, body);
    for (std::int64_t j = inner.end; j < grid.phase.count[2]; ++j)
        visit(grid, source, row, {j, j + 1}, body);
}

// The arrays of a pass.
struct Pass {
    const float* source;
    const float* weight;  // [tap][channel]
    ConvEpilogue epilogue;
    float* target;
};

void run(const Grid& grid, const Pass& pass, std::int64_t batch) {
    const std::int64_t* out = grid.target_extent;
    const bool stream = worth_streaming(
        pass.target, batch * out[0] * out[1] * out[2] * grid.channels, grid.channels);
    parallel_for_ranges(
        batch * grid.rows(), grid.rows_of_task(), [&](std::int64_t begin, std::int64_t end) {
            for (std::int64_t row = begin; row < end; ++row)
                visit_row(grid, pass.source, row, [&](const DepthwiseRun& run, std::int64_t pixel) {
                    depthwise_kernels().weigh(run, pass.weight, pass.epilogue.bias,
                                              pass.epilogue.slope,
                                              pass.target + pixel * grid.channels, stream);
                });
            if (stream) copy_kernels().fence();
        });
}

// (channels, taps) -> (taps, channels) and back.
void transpose(const float* from, std::int64_t rows, std::int64_t columns, float* to) {
    for (std::int64_t r = 0; r < rows; ++r)
        for (std::int64_t c = 0; c < columns; ++c) to[c * rows + r] = from[r * columns + c];
}

void coarse_from_fine(const ConvGeometry& g, const float* fine, const float* weight,
                      const ConvEpilogue& epilogue, float* coarse) {
    Workspace<float> by_tap(g.taps() * g.groups);
    transpose(weight, g.groups, g.taps(), by_tap.data());
    const GatherPhase phase = gather_coarse_from_fine(g);
    run({phase, g.fine, g.coarse, g.groups}, {fine, by_tap.data(), epilogue, coarse}, g.batch);
}

void fine_from_coarse(const ConvGeometry& g, const float* coarse, const float* weight,
                      const ConvEpilogue& epilogue, float* fine) {
    Workspace<float> by_tap(g.taps() * g.groups);
    transpose(weight, g.groups, g.taps(), by_tap.data());
    for (const GatherPhase& phase : gather_fine_from_coarse(g))
        run({phase, g.coarse, g.fine, g.groups}, {coarse, by_tap.data(), epilogue, fine}, g.batch);
}

void weight_gradient(const ConvGeometry& g, const float* fine, const float* coarse,
                     float* grad_weight) {
    constexpr std::int64_t most_chunks = 32;
    const GatherPhase phase = gather_coarse_from_fine(g);
    const Grid grid{phase, g.fine, g.coarse, g.groups};
    const std::int64_t rows = g.batch * grid.rows(), size = g.taps() * g.groups;
    const std::int64_t grain = std::max<std::int64_t>(1, divide_up(rows, most_chunks));
    const std::int64_t chunks = divide_up(rows, grain);
    Workspace<float> partial((chunks + 1) * size);
    std::fill_n(partial.data(), (chunks + 1) * size, 0.0f);
    parallel_for_ranges(rows, grain, [&](std::int64_t begin, std::int64_t end) {
        float* sums = partial.data() + begin / grain * size;
        for (std::int64_t row = begin; row < end; ++row)
            visit_row(grid, fine, row, [&](const DepthwiseRun& run, std::int64_t pixel) {
                depthwise_kernels().correlate(run, coarse + pixel * g.groups, sums);
            });
    });
    float* total = partial.data() + chunks * size;
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk)
        for (std::int64_t i = 0; i < size; ++i) total[i] += partial[chunk * size + i];
    transpose(total, g.taps(), g.groups, grad_weight);
}

bool accepts(const ConvGeometry& g) {
    return g.groups > 1 && g.fine_channels == 1 && g.coarse_channels == 1;
}

}  // namespace

extern const ConvAlgorithm conv_depthwise = {"depthwise",      accepts,          accepts,
                                             coarse_from_fine, fine_from_coarse, weight_gradient};

}  // namespace voxelgrad

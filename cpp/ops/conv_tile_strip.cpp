#include "ops/conv_tile_strip.hpp"

#include <algorithm>

#include "core/split.hpp"
#include "kernels/tile.hpp"

namespace voxelgrad {
namespace {

constexpr std::int64_t longest_row = 512;  // target pixels of a box's row
constexpr std::int64_t narrowest = 4;      // elements: rows of a tile begin at multiples of 8 bytes

std::int64_t pixel_width(std::int64_t channels) {
    std::int64_t width = narrowest;
    while (width < channels && width < tile_depth) width *= 2;
    return width;
}

void measure(TileStrip& strip, const GatherPhase& whole, std::int64_t channels) {
    for (int a = 0; a < conv_axes; ++a)
        strip.extent[a] = strip.unit[a] * (strip.box[a] - 1) + whole.high[a] - whole.low[a] + 1;
    strip.rows = divide_up(strip.extent[1], strip.unit[1]);
    strip.columns = divide_up(strip.extent[2], strip.unit[2]);
    strip.block_stride =
        strip.extent[0] * strip.unit[1] * strip.unit[2] * strip.rows * strip.columns * strip.width;
    const std::int64_t beyond = (tile_rows + tile_depth) * strip.width;
    strip.size = strip.blocks(channels) * strip.block_stride + beyond;
}

// Where a phase of the depth has its slices, of which the first phases may have one more.
struct DepthPhase {
    std::int64_t first, slices;
};

DepthPhase depth_phase(const TileStrip& strip, std::int64_t phase) {
    const std::int64_t whole = strip.extent[0] / strip.unit[0];
    const std::int64_t more = strip.extent[0] % strip.unit[0];
    return {phase * whole + std::min(phase, more), whole + (phase < more ? 1 : 0)};
}

// Where the pixels of a line come from.
struct Line {
    Rows<const bf16> pixels;    // the whole row of the image; no data: it lies in the padding
    std::int64_t first_column;  // negative in the padding
};

Line find_line(const TileStrip& strip, const TileSource& source, const std::int64_t* origin,
               std::int64_t line, std::int64_t start) {
    const std::int64_t phases = strip.unit[1] * strip.unit[2], number = line / strip.rows;
    std::int64_t depth = 0;  // the phase, then the slice
    while (depth + 1 < strip.unit[0] && number >= depth_phase(strip, depth + 1).first * phases)
        ++depth;
    const DepthPhase at = depth_phase(strip, depth);
    const std::int64_t slice = number - at.first * phases, phase = slice / at.slices;
    const std::int64_t d = origin[0] + depth + slice % at.slices * strip.unit[0];
    const std::int64_t h = origin[1] + line % strip.rows * strip.unit[1] + phase / strip.unit[2];
    if (d < 0 || d >= source.extent[0] || h < 0 || h >= source.extent[1]) return {};
    const Piece<const bf16>& piece = piece_with(source.pieces, source.first + start);
    const std::int64_t row = (source.image * source.extent[0] + d) * source.extent[1] + h;
    return {piece.rows.at(row * source.extent[2], source.first + start - piece.begin),
            origin[2] + phase % strip.unit[2]};
}

// The line that is filled after this one: what it reads is asked for while this one is copied.
Line line_after(const TileStrip& strip, const TileSource& source, const std::int64_t* origin,
                std::int64_t line, std::int64_t start) {
    if (line + 1 < strip.lines()) return find_line(strip, source, origin, line + 1, start);
    if (start + tile_depth >= source.channels) return {};
    return find_line(strip, source, origin, 0, start + tile_depth);
}

// One column phase of one row of one channel block.
void fill_columns(const TileStrip& strip, const Line& line, const Line& next, std::int64_t columns,
                  int channels, bf16* data) {
    const std::int64_t unit = strip.unit[2], left = columns - line.first_column;
    const std::int64_t before = line.first_column < 0 ? divide_up(-line.first_column, unit) : 0;
    const std::int64_t within = left <= 0 ? 0 : divide_up(left, unit);
    const std::int64_t begin = std::min(before, strip.columns);
    const std::int64_t end = std::clamp(within, begin, strip.columns);
    std::fill_n(data, begin * strip.width, bf16{0});
    if (end > begin) {
        const std::int64_t first = begin * unit;
        tile_bf16_product_kernels().copy(line.pixels.at(line.first_column + first, 0).data,
                                         unit * line.pixels.pitch, data + begin * strip.width,
                                         strip.width, end - begin, channels,
                                         next.pixels.at(next.first_column + first, 0).data);
    }
    std::fill_n(data + end * strip.width, (strip.columns - end) * strip.width, bf16{0});
}

struct PlacedTap {
    std::int64_t number, depth, row, phase, column;

    bool same_line(const PlacedTap& other) const {
        return depth == other.depth && row == other.row && phase == other.phase;
    }
};

}  // namespace

std::int64_t TileStrip::offset(std::int64_t depth, std::int64_t row, std::int64_t column) const {
    const DepthPhase at = depth_phase(*this, depth % unit[0]);
    const std::int64_t phase = row % unit[1] * unit[2] + column % unit[2];
    const std::int64_t slice = at.first * unit[1] * unit[2] + phase * at.slices + depth / unit[0];
    return ((slice * rows + row / unit[1]) * columns + column / unit[2]) * width;
}

std::int64_t TileStrip::blocks(std::int64_t channels) const {
    return divide_up(channels, tile_depth);
}

TileStrip plan_tile_strip(const GatherPhase& whole, std::int64_t channels, std::int64_t budget) {
    TileStrip strip{};
    for (int a = 0; a < conv_axes; ++a) strip.unit[a] = whole.unit[a];
    strip.width = pixel_width(channels);
    strip.box[0] = strip.box[1] = 1;
    strip.box[2] = even_part(whole.count[2], longest_row);
    measure(strip, whole, channels);
    while (strip.size > budget && strip.box[2] > 1) {
        strip.box[2] = divide_up(strip.box[2], 2);
        measure(strip, whole, channels);
    }
    // Rows first: the products run through all rows of a slice at once.
    for (const int axis : {1, 0}) {
        while (strip.box[axis] < whole.count[axis]) {
            TileStrip larger = strip;
            ++larger.box[axis];
            measure(larger, whole, channels);
            if (larger.size > budget) break;
            strip = larger;
        }
        strip.box[axis] = even_part(whole.count[axis], strip.box[axis]);
    }
    measure(strip, whole, channels);
    return strip;
}

void fill_tile_line(const TileStrip& strip, const TileSource& source, const std::int64_t* origin,
                    std::int64_t line, std::int64_t start, bf16* data) {
    const Line at = find_line(strip, source, origin, line, start);
    if (at.pixels.data == nullptr)
        return void(std::fill_n(data, strip.columns * strip.width, bf16{0}));
    const int channels =
        static_cast<int>(std::min<std::int64_t>(tile_depth, source.channels - start));
    const Line next = line_after(strip, source, origin, line, start);
    fill_columns(strip, at, next.pixels.data == nullptr ? at : next, source.extent[2], channels,
                 data);
}

void fill_tile_strip(const TileStrip& strip, const TileSource& source, const std::int64_t* origin,
                     bf16* data) {
    const std::int64_t blocks = strip.blocks(source.channels);
    const std::int64_t lines = strip.lines();
    for (std::int64_t at = 0; at < blocks * lines; ++at)
        fill_tile_line(strip, source, origin, at % lines, at / lines * tile_depth,
                       data + at * strip.columns * strip.width);
    std::fill(data + blocks * strip.block_stride, data + strip.size, bf16{0});
}

std::vector<TileStep> tile_steps(const TileStrip& strip, const GatherPhase& whole,
                                 const GatherPhase& phase) {
    std::vector<PlacedTap> taps;
    for (const GatherTap& tap : phase.taps) {
        const std::int64_t column = tap.offset[2] - whole.low[2];
        taps.push_back({tap.number, tap.offset[0] - whole.low[0], tap.offset[1] - whole.low[1],
                        column % strip.unit[2], column / strip.unit[2]});
    }
    std::stable_sort(taps.begin(), taps.end(), [](const PlacedTap& a, const PlacedTap& b) {
        if (!a.same_line(b))
            return a.depth != b.depth ? a.depth < b.depth
                   : a.row != b.row   ? a.row < b.row
                                      : a.phase < b.phase;
        return a.column < b.column;
    });
    const std::int64_t slots = tile_depth / strip.width;
    std::vector<TileStep> steps;
    PlacedTap first{};
    for (const PlacedTap& tap : taps) {
        if (steps.empty() || !tap.same_line(first) || tap.column - first.column >= slots) {
            first = tap;
            steps.push_back(
                {strip.offset(tap.depth, tap.row, tap.column * strip.unit[2] + tap.phase), {}});
        }
        steps.back().taps.push_back({tap.number, tap.column - first.column});
    }
    return steps;
}

}  // namespace voxelgrad

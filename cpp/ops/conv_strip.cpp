#include "ops/conv_strip.hpp"

#include <algorithm>

#include "core/split.hpp"
#include "kernels/conv_direct.hpp"

namespace voxelgrad {
namespace {

constexpr std::int64_t longest_row = 256;  // target pixels of a box's row

void measure(StripLayout& layout, const GatherPhase& phase, std::int64_t channels) {
    for (int a = 0; a < conv_axes; ++a)
        layout.extent[a] = phase.unit[a] * (layout.box[a] - 1) + phase.high[a] - phase.low[a] + 1;
    layout.unit = phase.unit[2];
    layout.columns = (layout.extent[2] + layout.unit - 1) / layout.unit;
    layout.row_stride = layout.unit * layout.columns * strip_block;
    layout.block_stride = layout.extent[0] * layout.extent[1] * layout.row_stride;
    layout.size = divide_up(channels, strip_block) * layout.block_stride;
}

// One column phase of one row: zeros left and right of the image, pixels between.
void fill_columns(const StripLayout& layout, const StripSource& source, const float* row,
                  std::int64_t first_column, int channels, float* strip) {
    const std::int64_t unit = layout.unit, width = source.extent[2];
    const std::int64_t before = first_column < 0 ? (-first_column + unit - 1) / unit : 0;
    const std::int64_t left = width - first_column;
    const std::int64_t within = left <= 0 ? 0 : (left + unit - 1) / unit;
    const std::int64_t begin = std::min(before, layout.columns);
    const std::int64_t end = std::clamp(within, begin, layout.columns);
    std::fill(strip, strip + begin * strip_block, 0.0f);
    if (end > begin)
        conv_direct_kernels().pack(row + (first_column + begin * unit) * source.pixel_stride,
                                   unit * source.pixel_stride, strip + begin * strip_block,
                                   end - begin, channels);
    std::fill(strip + end * strip_block, strip + layout.columns * strip_block, 0.0f);
}

}  // namespace

std::int64_t StripLayout::offset(std::int64_t depth, std::int64_t row, std::int64_t column) const {
    return (depth * extent[1] + row) * row_stride +
           (column % unit * columns + column / unit) * strip_block;
}

StripLayout plan_strip(const GatherPhase& phase, std::int64_t source_channels,
                       std::int64_t budget) {
    StripLayout layout{};
    layout.box[0] = layout.box[1] = 1;
    layout.box[2] = even_part(phase.count[2], longest_row);
    measure(layout, phase, source_channels);
    while (layout.size > budget && layout.box[2] > 1) {
        layout.box[2] = (layout.box[2] + 1) / 2;
        measure(layout, phase, source_channels);
    }
    // Grow the shorter side first: that keeps the padding's share small.
    bool growing[2] = {layout.box[0] < phase.count[0], layout.box[1] < phase.count[1]};
    while (growing[0] || growing[1]) {
        const bool depth = growing[0] && (!growing[1] || layout.box[0] <= layout.box[1]);
        const int axis = depth ? 0 : 1;
        StripLayout larger = layout;
        ++larger.box[axis];
        measure(larger, phase, source_channels);
        growing[axis] = larger.size <= budget;
        if (growing[axis]) layout = larger;
        growing[axis] = growing[axis] && layout.box[axis] < phase.count[axis];
    }
    for (int a = 0; a < 2; ++a) layout.box[a] = even_part(phase.count[a], layout.box[a]);
    measure(layout, phase, source_channels);
    return layout;
}

void fill_strip(const StripLayout& layout, const StripSource& source, const std::int64_t* origin,
                float* strip) {
    for (std::int64_t start = 0; start < source.channels; start += strip_block) {
        const int channels = static_cast<int>(std::min(strip_block, source.channels - start));
        float* row_strip = strip + start / strip_block * layout.block_stride;
        for (std::int64_t r = 0; r < layout.extent[0] * layout.extent[1]; ++r) {
            const std::int64_t depth = origin[0] + r / layout.extent[1];
            const std::int64_t height = origin[1] + r % layout.extent[1];
            const bool inside =
                depth >= 0 && depth < source.extent[0] && height >= 0 && height < source.extent[1];
            const float* row =
                source.image + start +
                (depth * source.extent[1] + height) * source.extent[2] * source.pixel_stride;
            if (!inside) std::fill(row_strip, row_strip + layout.row_stride, 0.0f);
            for (std::int64_t phase = 0; inside && phase < layout.unit; ++phase)
                fill_columns(layout, source, row, origin[2] + phase, channels,
                             row_strip + phase * layout.columns * strip_block);
            row_strip += layout.row_stride;
        }
    }
}

}  // namespace voxelgrad

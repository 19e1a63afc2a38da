#include "ops/conv_strip.hpp"

#include <algorithm>

#include "core/split.hpp"
#include "kernels/conv_planar.hpp"
#include "kernels/transpose.hpp"

namespace voxelgrad {
namespace {

constexpr std::int64_t longest_row = 256;  // target pixels of a box's row

void measure(StripLayout& layout, const GatherPhase& phase, std::int64_t channels) {
    const bool pixels = layout.order == StripOrder::pixels;
    for (int a = 0; a < conv_axes; ++a)
        layout.extent[a] = phase.unit[a] * (layout.box[a] - 1) + phase.high[a] - phase.low[a] + 1;
    layout.block = pixels ? channels : layout.order == StripOrder::planes ? 1 : strip_block;
    layout.blocks = divide_up(channels, layout.block);
    layout.unit = pixels ? 1 : phase.unit[2];
    layout.columns = divide_up(layout.extent[2], layout.unit);
    layout.pixel_step = phase.unit[2] / layout.unit * layout.block;
    layout.row_stride = layout.unit * layout.columns * layout.block;
    layout.block_stride = layout.extent[0] * layout.extent[1] * layout.row_stride;
    if (layout.order == StripOrder::planes)  // an odd number of cache lines between channels
        layout.block_stride = divide_up(layout.block_stride, 32) * 32 + 16;
    layout.size = layout.blocks * layout.block_stride + planar_slack;
}

// Zeros `count` pixels of every channel block.
void clear(const StripLayout& layout, std::int64_t count, float* strip) {
    for (std::int64_t block = 0; block < layout.blocks; ++block, strip += layout.block_stride)
        std::fill_n(strip, count * layout.block, 0.0f);
}

void copy_columns(const StripLayout& layout, const StripSource& source, const float* from,
                  std::int64_t count, float* strip) {
    const std::int64_t step = layout.unit * source.pixel_stride;
    switch (layout.order) {
        case StripOrder::blocks:
            conv_direct_kernels().pack(from, step, strip, layout.block_stride, count,
                                       source.channels);
            return;
        case StripOrder::planes:
            if (step == source.channels && step <= planar_channels)
                conv_planar_kernels().turn(from, count, static_cast<int>(step), strip,
                                           layout.block_stride);
            else
                transpose_kernels<float>().matrix(from, step, strip, layout.block_stride,
                                                  source.channels, count, false);
            return;
        case StripOrder::pixels:
            if (step == source.channels)
                std::copy_n(from, count * step, strip);
            else
                for (std::int64_t i = 0; i < count; ++i)
                    std::copy_n(from + i * step, source.channels, strip + i * source.channels);
            return;
    }
}

// One column phase of one row: zeros left and right of the image, pixels between.
void fill_columns(const StripLayout& layout, const StripSource& source, const float* row,
                  std::int64_t first_column, float* strip) {
    const std::int64_t unit = layout.unit, width = source.extent[2];
    const std::int64_t before = first_column < 0 ? divide_up(-first_column, unit) : 0;
    const std::int64_t left = width - first_column;
    const std::int64_t within = left <= 0 ? 0 : divide_up(left, unit);
    const std::int64_t begin = std::min(before, layout.columns);
    const std::int64_t end = std::clamp(within, begin, layout.columns);
    clear(layout, begin, strip);
    if (end > begin)
        copy_columns(layout, source, row + (first_column + begin * unit) * source.pixel_stride,
                     end - begin, strip + begin * layout.block);
    clear(layout, layout.columns - end, strip + end * layout.block);
}

}  // namespace

std::int64_t StripLayout::offset(std::int64_t depth, std::int64_t row, std::int64_t column) const {
    return (depth * extent[1] + row) * row_stride +
           (column % unit * columns + column / unit) * block;
}

StripOrder broadcast_order(std::int64_t source_channels) {
    return source_channels < strip_block ? StripOrder::pixels : StripOrder::blocks;
}

StripLayout plan_strip(const GatherPhase& phase, StripOrder order, std::int64_t source_channels,
                       std::int64_t budget) {
    StripLayout layout{};
    layout.order = order;
    layout.box[0] = layout.box[1] = 1;
    layout.box[2] = even_part(phase.count[2], longest_row);
    measure(layout, phase, source_channels);
    while (layout.size > budget && layout.box[2] > 1) {
        layout.box[2] = divide_up(layout.box[2], 2);
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

std::int64_t boxes_of_image(const std::int64_t* box, const GatherPhase& phase) {
    std::int64_t boxes = 1;
    for (int a = 0; a < conv_axes; ++a) boxes *= divide_up(phase.count[a], box[a]);
    return boxes;
}

StripBox box_at(const std::int64_t* box, const GatherPhase& phase, std::int64_t number) {
    StripBox found{};
    for (int a = conv_axes - 1; a >= 0; --a) {
        const std::int64_t boxes = divide_up(phase.count[a], box[a]);
        found.first[a] = number % boxes * box[a];
        found.count[a] = std::min(box[a], phase.count[a] - found.first[a]);
        number /= boxes;
    }
    found.image = number;
    return found;
}

StripBox clipped(const StripBox& box, const GatherPhase& phase) {
    StripBox part = box;
    for (int a = 0; a < conv_axes; ++a)
        part.count[a] = std::min(box.count[a], phase.count[a] - box.first[a]);
    return part;
}

std::int64_t row_start(const GatherPhase& phase, const StripBox& box, const std::int64_t* extent,
                       std::int64_t depth, std::int64_t height) {
    const auto at = [&](int axis, std::int64_t relative) {
        return phase.start[axis] + phase.step[axis] * (box.first[axis] + relative);
    };
    return ((box.image * extent[0] + at(0, depth)) * extent[1] + at(1, height)) * extent[2] +
           at(2, 0);
}

void fill_strip(const StripLayout& layout, const GatherPhase& phase, const StripSource& source,
                const StripBox& box, float* strip) {
    const std::int64_t* extent = source.extent;
    std::int64_t origin[conv_axes];  // the first source pixel; negative in the padding
    for (int a = 0; a < conv_axes; ++a) origin[a] = phase.unit[a] * box.first[a] + phase.low[a];
    for (std::int64_t r = 0; r < layout.extent[0] * layout.extent[1]; ++r) {
        const std::int64_t depth = origin[0] + r / layout.extent[1];
        const std::int64_t height = origin[1] + r % layout.extent[1];
        const bool inside = depth >= 0 && depth < extent[0] && height >= 0 && height < extent[1];
        const std::int64_t row = (box.image * extent[0] + depth) * extent[1] + height;
        if (!inside) clear(layout, layout.unit * layout.columns, strip);
        for (std::int64_t columns = 0; inside && columns < layout.unit; ++columns)
            fill_columns(layout, source, source.data + row * extent[2] * source.pixel_stride,
                         origin[2] + columns, strip + columns * layout.columns * layout.block);
        strip += layout.row_stride;
    }
}

}  // namespace voxelgrad

// The weight gradient on the bfloat16 tiles: a product over pixels. Its rows are the fine channels,
// turned so that the pixels of a channel follow each other; a tap only shifts where they begin. Its
// columns are the coarse channels, packed once.
//
// The boxes of pixels are dealt to chunks that the geometry alone decides; each chunk sums into a
// partial gradient of its own, and these are added in order. Where the gradient is large there is
// one chunk, and the threads share its blocks of channels.
#include <algorithm>

#include "core/parallel_for.hpp"
#include "core/pool.hpp"
#include "core/split.hpp"
#include "core/streaming.hpp"
#include "kernels/tile.hpp"
#include "kernels/transpose.hpp"
#include "ops/conv_strip.hpp"
#include "ops/conv_tile.hpp"
#include "ops/conv_tile_strip.hpp"

namespace voxelgrad {
namespace {

constexpr std::int64_t box_budget = 448 * 1024;                 // elements, both sides
constexpr std::int64_t batch_budget = std::int64_t{12} << 20;   // elements, of all its boxes
constexpr std::int64_t partial_budget = std::int64_t{4} << 20;  // floats of all partial gradients
constexpr std::int64_t most_chunks = 16, fewest_chunks = 8;     // fewer: one
constexpr std::int64_t window = 8;  // steps, about, that rows and columns stay in the L1 cache for
constexpr std::int64_t block_sums = tile_rows * tile_columns;

struct Plan {
    const ConvGeometry& g;
    const GatherPhase phase;
    TileStrip strip;  // of one channel block
    std::vector<TileStep> steps;
    std::int64_t units;            // boxes of all images
    std::int64_t panels, blocks;   // of the coarse and the fine channels
    std::int64_t row_stride;       // elements of a turned row
    std::int64_t runs, run_steps;  // a box's slices one by one, or one run; of 32 pixels
    std::int64_t batch;            // boxes that are prepared together
    std::int64_t chunks;

    std::int64_t pixels() const { return strip.block_stride / strip.width; }
    std::int64_t slice() const { return strip.rows * strip.columns; }  // positions of targets
    std::int64_t box_steps() const { return runs * run_steps; }
    std::int64_t block_size() const { return tile_rows * row_stride; }
    std::int64_t turned_size() const { return blocks * block_size(); }          // of a box
    std::int64_t packed_size() const { return box_steps() * 2 * packed_tile; }  // of box and panel
    std::int64_t sums_size() const {  // of panel and block
        return static_cast<std::int64_t>(steps.size()) * block_sums;
    }
    std::int64_t sums_at(std::int64_t panel, std::int64_t block) const {
        return (panel * blocks + block) * sums_size();
    }
    std::int64_t gradient_size() const { return sums_at(panels, 0); }
    bool at_once() const { return chunks == 1 && batch == units; }  // all boxes are prepared
};

// An odd number of cache lines, so that the rows of a tile fall on different cache sets; longer
// than the pixels by what the last step reads beyond them.
std::int64_t turned_stride(std::int64_t pixels) {
    return (divide_up(pixels, tile_depth) / 2 * 2 + 3) * tile_depth;
}

// The slices of a box run on where that takes fewer steps than to begin each with one of its own.
void plan_runs(Plan& plan) {
    const std::int64_t* box = plan.strip.box;
    const std::int64_t targets = (box[1] - 1) * plan.strip.columns + box[2];  // of a slice
    plan.runs = box[0];
    plan.run_steps = divide_up(targets, tile_depth);
    const std::int64_t steps = divide_up((box[0] - 1) * plan.slice() + targets, tile_depth);
    if (steps < plan.box_steps()) plan.runs = 1, plan.run_steps = steps;
    plan.row_stride = turned_stride(plan.pixels());
}

Plan make_plan(const ConvGeometry& g) {
    Plan plan{g, gather_coarse_from_fine(g), {}, {}, g.batch, 0, 0, 0, 0, 0, 0, 1};
    plan.panels = divide_up(g.coarse_channels, tile_columns);
    plan.blocks = divide_up(g.fine_channels, tile_depth);
    // Of turned and packed channels for each fine pixel.
    const std::int64_t share =
        plan.blocks + divide_up(plan.panels, g.stride[0] * g.stride[1] * g.stride[2]);
    const std::int64_t channels = std::min<std::int64_t>(g.fine_channels, tile_depth);
    plan.strip = plan_tile_strip(plan.phase, channels, box_budget / share);
    plan.steps = tile_steps(plan.strip, plan.phase, plan.phase);
    plan.units *= boxes_of_image(plan.strip.box, plan.phase);
    plan_runs(plan);
    const std::int64_t box = plan.turned_size() + plan.panels * plan.packed_size();
    const std::int64_t affordable = partial_budget / plan.gradient_size();
    const std::int64_t chunks = std::min({most_chunks, affordable, plan.units});
    // Where all boxes are fewer bytes than the partial gradients would be, they stay in the cache.
    const bool small =
        plan.units * box <= std::min(batch_budget, 2 * chunks * plan.gradient_size());
    const bool by_blocks = small && plan.panels * plan.blocks >= most_chunks;
    plan.chunks = by_blocks || chunks < fewest_chunks ? 1 : chunks;
    plan.batch = plan.chunks > 1 ? 1 : std::clamp<std::int64_t>(batch_budget / box, 1, plan.units);
    return plan;
}

// Pixels that come line by line and go in blocks of 32: few enough to stay in the L1 cache.
class PixelQueue {
 public:
    // reach: how many pixels beyond its own a block reads.
    PixelQueue(std::int64_t longest_line, std::int64_t width, std::int64_t reach)
        : width_(width),
          needed_(tile_depth + reach),
          pixels_((longest_line + needed_ + tile_depth) * width + tile_depth) {}

    bf16* room() { return pixels_.data() + held_ * width_; }

    // After `count` pixels were written to room(): take(pixels) for every block that is whole.
    template <class Take>
    void push(std::int64_t count, Take&& take) {
        std::int64_t begin = 0;
        for (held_ += count; held_ - begin >= needed_; begin += tile_depth)
            take(pixels_.data() + begin * width_);
        held_ -= begin;
        std::copy_n(pixels_.data() + begin * width_, held_ * width_, pixels_.data());
    }

    template <class Take>
    void push_zeros(std::int64_t count, Take&& take) {
        for (; count > 0; count -= tile_depth) {
            const std::int64_t some = std::min<std::int64_t>(count, tile_depth);
            std::fill_n(room(), some * width_, bf16{0});
            push(some, take);
        }
    }

 private:
    std::int64_t width_, needed_, held_ = 0;
    Workspace<bf16> pixels_;
};

// What is read and written for one group of channels.
struct Group {
    std::int64_t number;
    ImagePieces<const bf16> fine;
    const bf16* coarse;  // the first channel of the group
    float* grad_weight;  // of all groups
};

// Turns one block of fine channels of a box: [32 channels][pixels of the strip]. With few channels
// the 32 rows are the channels of a window of neighbouring pixels.
void turn_block(const Plan& plan, const Group& group, const StripBox& box, std::int64_t block,
                bf16* turned) {
    const ConvGeometry& g = plan.g;
    const TileStrip& strip = plan.strip;
    const TileSource source{group.fine, g.fine, box.image, group.number * g.fine_channels,
                            g.fine_channels};
    std::int64_t origin[conv_axes];
    for (int a = 0; a < conv_axes; ++a)
        origin[a] = plan.phase.unit[a] * box.first[a] + plan.phase.low[a];
    const std::int64_t reach = tile_depth / strip.width - 1;
    PixelQueue queue(strip.columns, strip.width, reach);
    const bf16* const end = turned + plan.row_stride;
    const auto turn = [&](const bf16* pixels) {
        if (turned == end) return;
        tile_bf16_product_kernels().turn(pixels, strip.width, turned, plan.row_stride);
        turned += tile_depth;
    };
    for (std::int64_t line = 0; line < strip.lines(); ++line) {
        fill_tile_line(strip, source, origin, line, block * tile_depth, queue.room());
        queue.push(strip.columns, turn);
    }
    queue.push_zeros(plan.row_stride - plan.pixels() + reach, turn);
}

// Packs one panel of coarse channels of a box, zeros where the strip has columns of padding.
void pack_panel(const Plan& plan, const Group& group, const StripBox& box, std::int64_t panel,
                bf16* packed) {
    const ConvGeometry& g = plan.g;
    const std::int64_t all = g.groups * g.coarse_channels, first = panel * tile_columns;
    const int channels =
        static_cast<int>(std::min<std::int64_t>(tile_columns, g.coarse_channels - first));
    const int halves = channels > tile_half ? 2 : 1;
    const TileKernels& kernels = tile_bf16_product_kernels();
    const auto pack = [&](const bf16* pixels) {
        for (int half = 0; half < halves; ++half, packed += packed_tile)
            kernels.pack_pixels(pixels + half * tile_half, tile_columns, tile_depth, tile_half,
                                packed);
    };
    const std::int64_t slices = plan.strip.box[0] / plan.runs;  // of a run
    for (std::int64_t run = 0; run < plan.runs; ++run) {
        PixelQueue queue(plan.strip.columns, tile_columns, 0);
        std::int64_t pushed = 0;
        const std::int64_t begin = run * slices, some = std::min(slices, box.count[0] - begin);
        const std::int64_t first_slice = box.image * g.coarse[0] + box.first[0] + begin;
        for (std::int64_t at = 0; at < some * box.count[1]; ++at) {
            const std::int64_t d = at / box.count[1], r = at % box.count[1];
            const std::int64_t position = d * plan.slice() + r * plan.strip.columns;
            const std::int64_t row = (first_slice + d) * g.coarse[1] + box.first[1] + r;
            queue.push_zeros(position - pushed, pack);
            const bf16* const pixels =
                group.coarse + (row * g.coarse[2] + box.first[2]) * all + first;
            kernels.copy(pixels, all, queue.room(), tile_columns, box.count[2], channels,
                         pixels + g.coarse[2] * all);
            queue.push(box.count[2], pack);
            pushed = position + box.count[2];
        }
        queue.push_zeros(plan.run_steps * tile_depth - pushed, pack);
    }
}

// What a batch of boxes is prepared into.
struct Batch {
    std::int64_t boxes;
    const bf16* turned;               // [box][block][32][row_stride]
    const bf16* packed;               // [panel][box][step]
    const std::int64_t* step_offset;  // [box][step]: in `turned`
};

// Adds the products of one block and one panel, all steps of the taps.
void add_products(const Plan& plan, const Batch& batch, std::int64_t panel, std::int64_t block,
                  bool add, float* sums) {
    TileProduct product{};
    product.row_stride = plan.row_stride;
    product.halves = plan.g.coarse_channels - panel * tile_columns > tile_half ? 2 : 1;
    const std::int64_t end = batch.boxes * plan.box_steps();
    const std::int64_t windows = std::max<std::int64_t>(1, (end + window / 2) / window);
    const std::int64_t longest = divide_up(end, windows);
    for (std::int64_t first = 0; first < end; first += longest) {
        product.step_offset = batch.step_offset + first;
        product.steps = std::min(longest, end - first);
        product.columns = batch.packed + panel * plan.batch * plan.packed_size() +
                          first * product.halves * packed_tile;
        product.add = add || first > 0;
        product.sums = sums;
        for (const TileStep& step : plan.steps) {
            product.rows =
                batch.turned + block * plan.block_size() + step.offset / plan.strip.width;
            tile_bf16_product_kernels().multiply(product);
            product.sums += block_sums;
        }
    }
}

// [fine channel][32 coarse channels] -> the weight, neighbours in memory one after the other.
void write_tap(const ConvGeometry& g, const float* sums, std::int64_t columns,
               std::int64_t channels, float* weight) {
    const std::int64_t stride = g.taps() * (g.transposed ? g.coarse_channels : g.fine_channels);
    if (g.transposed) {
        for (std::int64_t c = 0; c < channels; ++c)
            std::copy_n(sums + c * tile_columns, columns, weight + c * stride);
        return;
    }
    transpose_kernels<float>().matrix(sums, tile_columns, weight, stride, columns, channels, false);
}

// Asks for the part of the weight that `combine` writes.
void ask_for_weight(const Plan& plan, const Group& group, std::int64_t panel, std::int64_t block) {
    const ConvGeometry& g = plan.g;
    const std::int64_t k0 = panel * tile_columns, c0 = block * tile_depth;
    const std::int64_t columns = std::min<std::int64_t>(tile_columns, g.coarse_channels - k0);
    const std::int64_t channels = std::min<std::int64_t>(tile_depth, g.fine_channels - c0);
    const std::int64_t stride = g.taps() * (g.transposed ? g.coarse_channels : g.fine_channels);
    const std::int64_t rows = g.transposed ? channels : columns;
    const std::int64_t run = g.transposed ? columns : channels;
    constexpr std::int64_t line = cache_line / static_cast<std::int64_t>(sizeof(float));
    for (std::int64_t tap = 0; tap < g.taps(); ++tap) {
        const float* weight = group.grad_weight + g.weight_index(group.number, k0, c0, tap);
        for (std::int64_t row = 0; row < rows; ++row, weight += stride)
            for (std::int64_t at = 0; at < run; at += line) __builtin_prefetch(weight + at, 1, 2);
    }
}

// Adds the partial gradients of one (panel, block), whose first is `sums`, and puts them in weight
// order.
void combine(const Plan& plan, const Group& group, std::int64_t panel, std::int64_t block,
             float* sums) {
    const ConvGeometry& g = plan.g;
    const std::int64_t k0 = panel * tile_columns, c0 = block * tile_depth;
    const std::int64_t columns = std::min<std::int64_t>(tile_columns, g.coarse_channels - k0);
    const std::int64_t channels = std::min<std::int64_t>(tile_depth, g.fine_channels - c0);
    for (const TileStep& step : plan.steps) {
        for (std::int64_t chunk = 1; chunk < plan.chunks; ++chunk)
            for (std::int64_t i = 0; i < block_sums; ++i)
                sums[i] += sums[chunk * plan.gradient_size() + i];
        for (const TileStep::Tap& tap : step.taps)
            write_tap(g, sums + tap.slot * plan.strip.width * tile_columns, columns, channels,
                      group.grad_weight + g.weight_index(group.number, k0, c0, tap.number));
        sums += block_sums;
    }
}

// Adds the boxes [begin, end) to a partial gradient, or writes their sums; where they are all that
// there are, straight to the weight.
void add_boxes(const Plan& plan, const Group& group, std::int64_t begin, std::int64_t end, bool add,
               float* gradient) {
    const std::int64_t boxes = end - begin;
    Workspace<bf16> turned(plan.batch * plan.turned_size());
    Workspace<bf16> packed(plan.panels * plan.batch * plan.packed_size());
    Workspace<std::int64_t> step_offset(boxes * plan.box_steps());
    for (std::int64_t at = 0; at < boxes * plan.box_steps(); ++at) {
        const std::int64_t step = at % plan.box_steps();
        step_offset[at] = at / plan.box_steps() * plan.turned_size() +
                          step / plan.run_steps * plan.slice() + step % plan.run_steps * tile_depth;
    }
    const std::int64_t parts = plan.blocks + plan.panels;
    parallel_for(boxes * parts, [&](std::int64_t at) {
        const std::int64_t b = at / parts, part = at % parts, panel = part - plan.blocks;
        const StripBox box = box_at(plan.strip.box, plan.phase, begin + b);
        if (part < plan.blocks)
            return turn_block(plan, group, box, part,
                              turned.data() + b * plan.turned_size() + part * plan.block_size());
        const int halves = plan.g.coarse_channels - panel * tile_columns > tile_half ? 2 : 1;
        pack_panel(plan, group, box, panel,
                   packed.data() + panel * plan.batch * plan.packed_size() +
                       b * plan.box_steps() * halves * packed_tile);
    });
    const Batch batch{boxes, turned.data(), packed.data(), step_offset.data()};
    // All panels of a block: its turned rows are the larger side and stay in the L2 cache.
    parallel_for(plan.panels * plan.blocks, [&](std::int64_t at) {
        const std::int64_t block = at / plan.panels, panel = at % plan.panels;
        Workspace<float> own(plan.at_once() ? plan.sums_size() : 0);
        float* const sums = plan.at_once() ? own.data() : gradient + plan.sums_at(panel, block);
        if (plan.at_once()) ask_for_weight(plan, group, panel, block);
        tile_bf16_product_kernels().begin();
        add_products(plan, batch, panel, block, add, sums);
        tile_bf16_product_kernels().end();
        if (plan.at_once()) combine(plan, group, panel, block, sums);
    });
}

void sum_chunk(const Plan& plan, const Group& group, std::int64_t chunk, float* gradient) {
    const std::int64_t first = chunk * plan.units / plan.chunks;
    const std::int64_t last = (chunk + 1) * plan.units / plan.chunks;
    for (std::int64_t begin = first; begin < last; begin += plan.batch)
        add_boxes(plan, group, begin, std::min(begin + plan.batch, last), begin > first, gradient);
}

}  // namespace

void conv_tile_weight_gradient(const ConvGeometry& g, const bf16* fine, const bf16* coarse,
                               float* grad_weight) {
    const Piece<const bf16> whole = whole_image(fine, g.groups * g.fine_channels);
    conv_tile_weight_gradient_of_pieces(g, {&whole, 1}, coarse, grad_weight);
}

void conv_tile_weight_gradient_of_pieces(const ConvGeometry& g, ImagePieces<const bf16> fine,
                                         const bf16* coarse, float* grad_weight) {
    const Plan plan = make_plan(g);
    if (plan.units == 0) return void(std::fill_n(grad_weight, g.weight_size(), 0.0f));
    Workspace<float> partial(plan.at_once() ? 0 : plan.chunks * plan.gradient_size());
    for (std::int64_t number = 0; number < g.groups; ++number) {
        const Group group{number, fine, coarse + number * g.coarse_channels, grad_weight};
        parallel_for(plan.chunks, [&](std::int64_t chunk) {
            sum_chunk(plan, group, chunk, partial.data() + chunk * plan.gradient_size());
        });
        if (plan.at_once()) continue;
        parallel_for(plan.panels * plan.blocks, [&](std::int64_t at) {
            const std::int64_t panel = at / plan.blocks, block = at % plan.blocks;
            combine(plan, group, panel, block, partial.data() + plan.sums_at(panel, block));
        });
    }
}

}  // namespace voxelgrad

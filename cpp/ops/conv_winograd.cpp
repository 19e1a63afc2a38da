// Winograd convolution for kernels (depth, 3, 3): a quarter or a fifth of the multiplications, with
// stride 2 three fifths.
//
// Tiles are transformed for all source channels, multiplied with the transformed weight frequency
// by frequency, and transformed back (Jia et al., "Optimizing N-dimensional, Winograd-based
// convolution for manycore CPUs", PPoPP 2018). Usually each task does all three for a block of
// tiles that stays in its cache. Where the weight is too large to be read again for every block,
// or there are few blocks, the three are phases: the tasks of the second one share the frequencies
// out among them, so that every number of the weight is read once.
#include "ops/conv_winograd.hpp"

#include <algorithm>
#include <utility>

#include "core/parallel_for.hpp"
#include "core/pool.hpp"
#include "core/split.hpp"
#include "kernels/winograd_product.hpp"
#include "ops/conv_algorithms.hpp"

namespace voxelgrad {
namespace {

constexpr std::int64_t fewest_channels = 8, fewest_pixels = 4;
constexpr std::int64_t fewest_with_stride_two = 32, fewest_tiles_with_stride_two = 36;
constexpr std::int64_t fewest_units = 8, enough_units = 16;
constexpr std::int64_t fewest_tiles = 28, most_tiles = 112;  // of a block
constexpr std::int64_t most_slices = 8;
constexpr std::int64_t group_tiles = 56;  // of groups of slices that are multiplied at a time
// Panels of a block whose sources are transformed in depth once.
constexpr std::int64_t panels_of_block = 2;
constexpr std::int64_t cached_source = 400 * 1024;       // floats of a block's frequencies
constexpr std::int64_t phase_budget = 16 * 1024 * 1024;  // floats of all frequencies in phases
constexpr std::int64_t phase_cost = 4;  // of a frequency, in numbers of the weight that are read
constexpr std::int64_t transform_grain = 8;  // tiles of a task in the phases

template <class T>
struct Plan {
    const WinogradPass<T>& pass;
    WinogradTiles tiles;
    const WinogradWeight& weight;
    const float* bias;   // by panels
    std::int64_t width;  // of a panel
};

// Panels of target channels, and the products of a block's tiles for the first: floats from those
// of one frequency and of one panel to the next.
struct Panels {
    std::int64_t begin, end;
    float* products;
    std::int64_t frequency_stride, panel_stride;

    float* at(std::int64_t panel, int frequency) const {
        return products + (panel - begin) * panel_stride + frequency * frequency_stride;
    }
};

// The products of all source channels for one frequency and panel, but for its tiles.
template <class T>
WinogradProduct product_of(const Plan<T>& plan, int frequency, std::int64_t panel) {
    WinogradProduct product{};
    product.channels = plan.pass.source_channels();
    product.weight = plan.weight.at(panel, frequency);
    product.next_weight = plan.weight.stride();
    product.whole_panel = plan.pass.target_channels() - panel * plan.width > plan.width / 2;
    return product;
}

// The source channels that a panel is tied to by taps at this depth: those of whole phases.
template <class T>
std::pair<std::int64_t, std::int64_t> tied_channels(const Plan<T>& plan, std::int64_t panel,
                                                    std::int64_t depth) {
    const WinogradPass<T>& pass = plan.pass;
    const auto tied = [&](std::int64_t channel) {
        return pass.reaches(pass.phase_between(panel * plan.width, channel), depth);
    };
    std::int64_t begin = 0, end = pass.source_channels();
    while (begin < end && !tied(begin)) begin += pass.source.channels;
    while (begin < end && !tied(end - 1)) end -= pass.source.channels;
    return {begin, end};
}

// The products of a block's tiles for one frequency and panel, taps in depth summed: a tap is a
// shift by the tiles of a slice.
template <class T>
void multiply_taps(const Plan<T>& plan, const TileBlock& block, const WinogradFrequencies& source,
                   int frequency, std::int64_t panel, float* products) {
    const WinogradProduct all = product_of(plan, frequency, panel);
    WinogradProduct product = all;
    product.block_stride = source.block_stride;
    product.target = products;
    product.tiles = block.target_tiles();
    for (std::int64_t depth = 0; depth < plan.tiles.depth_taps; ++depth) {
        const auto [begin, end] = tied_channels(plan, panel, depth);
        if (begin == end) continue;
        product.source = source.data + frequency * source.stride +
                         depth * block.tiles * strip_block +
                         begin / strip_block * source.block_stride;
        product.weight = all.weight + (depth * all.channels + begin) * plan.width;
        product.channels = end - begin;
        winograd_product_kernels().product(product);
        product.add = true;
    }
}

// The products of groups of slices that were transformed into parts, and their slices.
template <class T>
void multiply_parts(const Plan<T>& plan, WinogradProduct product, const float* source,
                    std::int64_t source_part, std::int64_t groups, float* sums,
                    std::int64_t sums_part, float* slices) {
    const std::int64_t next_part = product.channels * plan.width;
    for (std::int64_t k = 0; k < plan.tiles.depth_parts(); ++k) {
        product.source = source + k * source_part;
        product.target = sums + k * sums_part;
        winograd_product_kernels().product(product);
        product.weight += next_part;
    }
    winograd_depth_kernels()
        .of(plan.tiles.form.group)
        .output(sums, sums_part, product.tiles / groups * plan.width, groups, slices);
}

// The products of one frequency for groups of slices, some at a time.
template <class T>
void multiply_groups(const Plan<T>& plan, const TileBlock& block, const WinogradFrequencies& source,
                     int frequency, const Panels& panels) {
    const std::int64_t blocks = divide_up(plan.pass.source_channels(), strip_block);
    const std::int64_t slice = block.tiles * strip_block, result = block.tiles * plan.width;
    const std::int64_t step =
        even_part(block.groups, std::max<std::int64_t>(1, group_tiles / block.tiles));
    const WinogradForm form = plan.tiles.form;
    const WinogradDepthTransforms& transforms = winograd_depth_kernels().of(form.group);
    const std::int64_t parts = plan.tiles.depth_parts();
    const std::int64_t part = step * slice * blocks;
    Workspace<float> memory(parts * step * (slice * blocks + result));
    float* const sums = memory.data() + parts * part;
    for (std::int64_t first = 0; first < block.groups; first += step) {
        const std::int64_t groups = std::min(step, block.groups - first);
        const float* slices = source.data + frequency * source.stride + form.group * first * slice;
        for (std::int64_t b = 0; b < blocks; ++b)
            transforms.input(slices + b * source.block_stride, slice, groups,
                             memory.data() + b * groups * slice, part);
        for (std::int64_t panel = panels.begin; panel < panels.end; ++panel) {
            WinogradProduct product = product_of(plan, frequency, panel);
            product.block_stride = groups * slice;
            product.tiles = groups * block.tiles;
            multiply_parts(plan, product, memory.data(), part, groups, sums, step * result,
                           panels.at(panel, frequency) + form.group * first * result);
        }
    }
}

template <class T>
void multiply(const Plan<T>& plan, const TileBlock& block, const WinogradFrequencies& source,
              int frequency, const Panels& panels) {
    if (plan.tiles.form.deep()) return multiply_groups(plan, block, source, frequency, panels);
    for (std::int64_t panel = panels.begin; panel < panels.end; ++panel)
        multiply_taps(plan, block, source, frequency, panel, panels.at(panel, frequency));
}

// Transforms the products of target tiles [first, first + count) of a block back into pixels of one
// grid: those of its channels [begin, end), counted in the whole target.
template <class T>
void write_grid(const Plan<T>& plan, const TileBlock& block, const float* products,
                std::int64_t stride, const WinogradGrid<T>& grid, std::int64_t begin,
                std::int64_t end, std::int64_t first, std::int64_t count) {
    const WinogradForm form = plan.tiles.form;
    const auto left = [&](std::int64_t size, std::int64_t at) {
        return static_cast<int>(std::min<std::int64_t>(form.tile, size - at));
    };
    WinogradPixels<T> to{};
    to.row_stride = grid.step[1];
    to.pixel_stride = grid.step[2];
    to.channels = static_cast<int>(end - begin);
    to.slope = plan.pass.epilogue.slope;
    to.past_cache = grid.past_cache;
    for (std::int64_t at = first; at < first + count; ++at) {
        const TilePlace place = place_of(plan.tiles, block.first + at % block.tiles);
        const std::int64_t depth = block.depth + at / block.tiles;
        if (depth >= grid.extent[0]) break;  // a phase may have a slice, row or column less
        to.pixels = grid.data + place.image * grid.image_step + depth * grid.step[0] +
                    place.row * grid.step[1] + place.column * grid.step[2] + begin - grid.begin;
        to.rows = left(grid.extent[1], place.row);
        to.columns = left(grid.extent[2], place.column);
        winograd_image_kernels<T>().of(form).output(products + (at - first) * plan.width, stride,
                                                    plan.bias + begin, to);
    }
    if (to.past_cache)
        winograd_kernels().fence();
    else if (plan.pass.epilogue.written)
        tell_of_tiles(*plan.pass.epilogue.written, plan.tiles, block, grid.extent, end - begin,
                      first, count);
}

// The same for all channels of a panel, whichever grids they lie in.
template <class T>
void transform_back(const Plan<T>& plan, const TileBlock& block, const float* products,
                    std::int64_t stride, std::int64_t panel, std::int64_t first,
                    std::int64_t count) {
    const std::int64_t start = panel * plan.width;
    for (const WinogradGrid<T>& grid : plan.pass.targets) {
        const std::int64_t begin = std::max(start, grid.begin);
        const std::int64_t end = std::min(start + plan.width, grid.end);
        if (begin < end)
            write_grid(plan, block, products + begin - start, stride, grid, begin, end, first,
                       count);
    }
}

// One block from its pixels to its results.
template <class T>
void run_block(const Plan<T>& plan, const TileBlock& block) {
    const std::int64_t channels = plan.pass.source_channels();
    const std::int64_t sources = block.source_tiles(), targets = block.target_tiles();
    const std::int64_t stride = frequency_stride(block.padded_tiles() * plan.width);
    const WinogradForm form = plan.tiles.form;
    const std::int64_t source_size = frequencies_size(form, sources, channels);
    const std::int64_t panels = plan.weight.panels(), panel_stride = form.frequencies() * stride;
    const std::int64_t together = form.deep() ? std::min(panels, panels_of_block) : 1;
    Workspace<float> memory(std::max(source_size + together * panel_stride, huge_block));
    const WinogradFrequencies source = frequencies_at(memory.data(), sources, channels);
    float* products = memory.data() + source_size;
    transform_source(plan.pass, plan.tiles, block, 0, sources, source);
    for (std::int64_t first = 0; first < panels; first += together) {
        const Panels some{first, std::min(first + together, panels), products, stride,
                          panel_stride};
        for (int f = 0; f < form.frequencies(); ++f) multiply(plan, block, source, f, some);
        for (std::int64_t panel = some.begin; panel < some.end; ++panel)
            transform_back(plan, block, some.at(panel, 0), stride, panel, 0, targets);
    }
}

// One block, which may be large, in three phases.
template <class T>
void run_phases(const Plan<T>& plan, const TileBlock& block) {
    const std::int64_t channels = plan.pass.source_channels(), panels = plan.weight.panels();
    const std::int64_t sources = block.source_tiles(), targets = block.target_tiles();
    const std::int64_t stride = frequency_stride(block.padded_tiles() * plan.width);
    const WinogradForm form = plan.tiles.form;
    const std::int64_t together = form.deep() ? panels : 1, parts = panels / together;
    Workspace<float> source_memory(frequencies_size(form, sources, channels));
    Workspace<float> memory(panels * form.frequencies() * stride);
    const Panels all{0, panels, memory.data(), stride, form.frequencies() * stride};
    WinogradFrequencies source = frequencies_at(source_memory.data(), sources, channels);
    source.past_cache = true;
    parallel_for_ranges(sources, transform_grain, [&](std::int64_t begin, std::int64_t end) {
        transform_source(plan.pass, plan.tiles, block, begin, end, source);
    });
    parallel_for(form.frequencies() * parts, [&](std::int64_t task) {
        const std::int64_t first = task % parts * together;
        const Panels some{first, first + together, all.at(first, 0), stride, all.panel_stride};
        multiply(plan, block, source, static_cast<int>(task / parts), some);
    });
    parallel_for_ranges(targets, transform_grain, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t panel = 0; panel < panels; ++panel)
            transform_back(plan, block, all.at(panel, 0) + begin * plan.width, stride, panel, begin,
                           end - begin);
    });
}

// Cuts the tiles and says whether the blocks are worked on one after the other, in phases: blocks
// of their own read the whole weight each, phases write and read all frequencies.
bool choose_phases(WinogradForm form, const WinogradSides& pass, WinogradTiles& tiles) {
    const std::int64_t sources = pass.source_channels(), targets = pass.target_channels();
    const std::int64_t both = form.frequencies() * (sources + targets);
    const std::int64_t tile_size =
        form.frequencies() * strip_block * divide_up(sources, strip_block);
    tiles = cut_tiles(form, pass, pass.whole.count[0], phase_budget / both);
    const std::int64_t all = tiles.count * tiles.slices;
    const std::int64_t wanted = std::max(fewest_tiles, divide_up(all, enough_units));
    const WinogradTiles own = cut_tiles(
        form, pass, most_slices,
        std::min(std::clamp(cached_source / tile_size, fewest_tiles, most_tiles), wanted));
    // Numbers of the weight: its taps or parts in depth, for each phase those that it has.
    const std::int64_t parts = form.deep() ? own.depth_parts() : pass.depth_ties();
    const std::int64_t weight_size =
        form.frequencies() * parts * pass.source.channels * pass.target.channels;
    const bool few = own.units() < fewest_units;
    if (few || own.units() * weight_size > phase_cost * all * both) return true;
    tiles = own;
    return false;
}

template <class T>
void run(int tile, const PiecewisePass<T>& piecewise) {
    if (piecewise.geometry.batch * piecewise.target.pixels() == 0) return;
    const WinogradPass<T> pass(piecewise);
    const WinogradForm form = choose_form<T>(tile, pass, 1, 0);  // any batch
    WinogradTiles tiles;
    const bool phases = choose_phases(form, pass, tiles);
    const WinogradWeight weight(form, pass, pass.weight);
    const std::int64_t width = winograd_product_kernels().panel, all = pass.target.channels;
    Workspace<float> bias(weight.panels() * width);
    std::fill_n(bias.data(), weight.panels() * width, 0.0f);
    if (pass.epilogue.bias)
        for (std::int64_t c = 0; c < pass.target_channels(); c += all)
            std::copy_n(pass.epilogue.bias, all, bias.data() + c);
    const Plan<T> plan{pass, tiles, weight, bias.data(), width};
    if (phases)
        for (std::int64_t unit = 0; unit < tiles.units(); ++unit) run_phases(plan, tiles.at(unit));
    else
        parallel_for(tiles.units(), [&](std::int64_t unit) { run_block(plan, tiles.at(unit)); });
}

template <class T, int tile>
void coarse_from_pieces(const ConvGeometry& g, ImagePieces<const T> fine, const float* weight,
                        const ConvEpilogue& epilogue, T* coarse) {
    const Piece<T> target = whole_image(coarse, g.coarse_channels);
    run<T>(tile, {forward_sides(g), fine, weight, epilogue, {&target, 1}});
}

template <class T, int tile>
void coarse_from_fine(const ConvGeometry& g, const T* fine, const float* weight,
                      const ConvEpilogue& epilogue, T* coarse) {
    const Piece<const T> source = whole_image(fine, g.fine_channels);
    coarse_from_pieces<T, tile>(g, {&source, 1}, weight, epilogue, coarse);
}

template <class T, int tile>
void pieces_from_coarse(const ConvGeometry& g, const T* coarse, const float* weight,
                        const ConvEpilogue& epilogue, ImagePieces<T> fine) {
    const Piece<const T> source = whole_image(coarse, g.coarse_channels);
    run<T>(tile, {backward_sides(g), {&source, 1}, weight, epilogue, fine});
}

template <class T, int tile>
void fine_from_coarse(const ConvGeometry& g, const T* coarse, const float* weight,
                      const ConvEpilogue& epilogue, T* fine) {
    const Piece<T> target = whole_image(fine, g.fine_channels);
    pieces_from_coarse<T, tile>(g, coarse, weight, epilogue, {&target, 1});
}

bool accepts(const ConvGeometry& g) {
    return winograd_accepts(g) || winograd_accepts_stride_two(g);
}

// With stride 2 an image needs many tiles: they share what the weight's transforms cost. And the
// tiles must not reach far beyond it, since four phases of two taps on a side save just two fifths.
bool worthwhile_with_stride_two(const ConvGeometry& g) {
    constexpr WinogradForm form = form_of_stride_two;
    const std::int64_t tiles =
        divide_up(g.coarse[1], form.tile) * divide_up(g.coarse[2], form.tile);
    const std::int64_t products = 4 * form.frequencies() * tiles;
    const std::int64_t direct = g.kernel[1] * g.kernel[2] * g.coarse[1] * g.coarse[2];
    return std::min(g.fine_channels, g.coarse_channels) >= fewest_with_stride_two &&
           tiles * g.coarse[0] >= fewest_tiles_with_stride_two && 4 * products <= 3 * direct;
}

// With few channels the transforms cost more than the multiplications that they save.
bool worthwhile(const ConvGeometry& g) {
    if (g.stride[2] == 2) return worthwhile_with_stride_two(g);
    return std::min(g.fine_channels, g.coarse_channels) >= fewest_channels &&
           std::min(g.coarse[1], g.coarse[2]) >= fewest_pixels;
}

// AMX multiplies bfloat16 more than four times as fast as float, and the tiles' products of stride
// 2 are faster without it, too.
bool worthwhile_in_bf16(const ConvGeometry& g) {
    return active_isa() != Isa::amx && g.stride[2] == 1 && worthwhile(g);
}

bool by_name_only(const ConvGeometry&) { return false; }

template <class T, int tile>
constexpr ConvAlgorithmFor<T> algorithm(const char* name, bool (*worthwhile)(const ConvGeometry&)) {
    return {name,
            tile == 0 ? accepts : winograd_accepts,
            worthwhile,
            coarse_from_fine<T, tile>,
            fine_from_coarse<T, tile>,
            conv_winograd_weight_gradient<T, tile>,
            coarse_from_pieces<T, tile>,
            pieces_from_coarse<T, tile>,
            conv_winograd_weight_gradient_of_pieces<T, tile>,
            strip_block};
}

}  // namespace

extern const ConvAlgorithm conv_winograd = algorithm<float, 0>("winograd", worthwhile);
extern const ConvAlgorithm conv_winograd4 = algorithm<float, 4>("winograd4", by_name_only);
extern const ConvAlgorithm conv_winograd5 = algorithm<float, 5>("winograd5", by_name_only);
extern const ConvAlgorithm conv_winograd6 = algorithm<float, 6>("winograd6", by_name_only);
extern const ConvAlgorithmFor<bf16> conv_winograd_bf16 =
    algorithm<bf16, 0>("winograd", worthwhile_in_bf16);
extern const ConvAlgorithmFor<bf16> conv_winograd4_bf16 =
    algorithm<bf16, 4>("winograd4", by_name_only);
extern const ConvAlgorithmFor<bf16> conv_winograd5_bf16 =
    algorithm<bf16, 5>("winograd5", by_name_only);
extern const ConvAlgorithmFor<bf16> conv_winograd6_bf16 =
    algorithm<bf16, 6>("winograd6", by_name_only);

}  // namespace voxelgrad

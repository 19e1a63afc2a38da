// The weight gradient in Winograd's frequencies: tiles of both sides are transformed, multiplied
// and summed over all tiles; only the sums are transformed back.
//
// Blocks of tiles are dealt to chunks that the geometry alone decides; each chunk sums into a
// partial gradient of its own, and these are added in the order of the chunks. Where the gradient
// is too large for that, tiles are transformed first and multiplied afterwards, by tasks that own a
// part of the gradient each.
#include <algorithm>

#include "core/parallel_for.hpp"
#include "core/pool.hpp"
#include "core/split.hpp"
#include "kernels/winograd_product.hpp"
#include "ops/conv_winograd.hpp"

namespace voxelgrad {
namespace {

constexpr std::int64_t enough_chunks = 16;
constexpr std::int64_t cached_block = 192 * 1024;     // floats of a block's frequencies
constexpr std::int64_t cached_gradient = 200 * 1024;  // floats of a partial gradient
// Floats of all frequencies in phases: the last cache holds them. Not fewer than twice the sums,
// which each batch of tiles reads and writes; where these are too many for that cache, they are
// read seldom instead.
constexpr std::int64_t phase_budget = 1024 * 1024, large_phase_budget = 12 * 1024 * 1024;
constexpr std::int64_t cached_phase = 5 * 512 * 1024;  // floats that are read again from the cache
constexpr std::int64_t sum_cost = 50;                  // of writing and reading a sum, in products
constexpr std::int64_t most_tiles = 112, most_slices = 8, most_phase_slices = 16;
constexpr std::int64_t product_tiles = 128;  // multiplied at a time: they stay in the first cache
constexpr std::int64_t transform_grain = 8;  // tiles of a task in the phases
constexpr std::int64_t sum_grain = 1 << 14;

// The sums are rows over the channels that lie side by side in the weight ("right"), one for each
// channel of the other side ("left").
template <class T>
struct Plan {
    const WinogradPass<T>& pass;
    WinogradGrid<const T> coarse;
    bool right_is_fine;
    std::int64_t width;  // of a panel of right channels
    WinogradTiles tiles = {};
    std::int64_t left_channels = 0, left_blocks = 0, right_channels = 0, right_panels = 0;

    std::int64_t block_size = 0;  // of sums: [depth part][16][width]
    std::int64_t stride = 0;      // of a frequency: [right panel][left block]

    std::int64_t block_at(std::int64_t panel, std::int64_t block) const {
        return (panel * left_blocks + block) * block_size;
    }
    std::int64_t size() const { return tiles.form.frequencies() * stride; }

    // The phase of the fine grid that a block of sums is for.
    const GatherPhase& phase_at(std::int64_t panel, std::int64_t block) const {
        return pass.phase_of(right_is_fine ? panel * width : block * strip_block);
    }
    bool has_part(std::int64_t panel, std::int64_t block, std::int64_t part) const {
        return tiles.form.deep() || pass.reaches(phase_at(panel, block), part);
    }
};

// One side's numbers of one frequency: [channel block][tile][16] for each part in depth.
struct Factor {
    const float* data;
    std::int64_t block_stride, part_stride;
};
struct Factors {
    Factor fine, coarse;
    std::int64_t tiles;
};

// Adds the products of one frequency and panel to the sums, or writes the first ones.
template <class T>
void add_products(const Plan<T>& plan, const Factors& factors, int frequency, std::int64_t panel,
                  bool add, float* sums) {
    const Factor& left = plan.right_is_fine ? factors.coarse : factors.fine;
    const Factor& right = plan.right_is_fine ? factors.fine : factors.coarse;
    const std::int64_t channel = panel * plan.width;
    const float* right_data =
        right.data + channel / strip_block * right.block_stride + channel % strip_block;
    WinogradGradient gradient{};
    gradient.right_block = right.block_stride;
    gradient.tiles = factors.tiles;
    gradient.whole_panel = plan.right_channels - channel > plan.width / 2;
    gradient.add = add;
    gradient.sums = sums + frequency * plan.stride + plan.block_at(panel, 0);
    for (std::int64_t b = 0; b < plan.left_blocks; ++b)
        for (std::int64_t part = 0; part < plan.tiles.depth_parts();
             ++part, gradient.sums += strip_block * plan.width) {
            if (!plan.has_part(panel, b, part)) continue;
            gradient.left = left.data + b * left.block_stride + part * left.part_stride;
            gradient.right = right_data + part * right.part_stride;
            gradient.left_channels =
                static_cast<int>(std::min(strip_block, plan.left_channels - b * strip_block));
            winograd_product_kernels().gradient(gradient);
        }
}

// Calls use(factors) for parts of a block's tiles, as many at a time as the first cache holds. A
// tap in depth that is not transformed is a shift of the fine side.
template <class Use>
void for_taps(const TileBlock& block, const WinogradFrequencies& fine,
              const WinogradFrequencies& coarse, int frequency, Use use) {
    const std::int64_t targets = block.target_tiles(), step = even_part(targets, product_tiles);
    for (std::int64_t first = 0; first < targets; first += step) {
        const auto factor = [&](const WinogradFrequencies& side, std::int64_t shift) {
            return Factor{side.data + frequency * side.stride + first * strip_block,
                          side.block_stride, shift};
        };
        use(Factors{factor(fine, block.tiles * strip_block), factor(coarse, 0),
                    std::min(step, targets - first)});
    }
}

// The same for groups of slices that are transformed in depth.
template <class T, class Use>
void for_groups(const Plan<T>& plan, const TileBlock& block, const WinogradFrequencies& fine,
                const WinogradFrequencies& coarse, int frequency, Use use) {
    const std::int64_t slice = block.tiles * strip_block;
    const std::int64_t step =
        even_part(block.groups, std::max<std::int64_t>(1, product_tiles / block.tiles));
    const std::int64_t fine_blocks = divide_up(plan.pass.source_channels(), strip_block);
    const std::int64_t coarse_blocks = divide_up(plan.pass.target_channels(), strip_block);
    const std::int64_t fine_part = fine_blocks * step * slice;
    const std::int64_t coarse_part = coarse_blocks * step * slice;
    const std::int64_t parts = plan.tiles.depth_parts(), group = plan.tiles.form.group;
    Workspace<float> memory(parts * (fine_part + coarse_part));
    float* const coarse_memory = memory.data() + parts * fine_part;
    const WinogradDepthTransforms& transforms = winograd_depth_kernels().of(plan.tiles.form.group);
    for (std::int64_t first = 0; first < block.groups; first += step) {
        const std::int64_t groups = std::min(step, block.groups - first);
        const std::int64_t skipped = group * first * slice;
        for (std::int64_t b = 0; b < fine_blocks; ++b)
            transforms.input(fine.data + frequency * fine.stride + b * fine.block_stride + skipped,
                             slice, groups, memory.data() + b * groups * slice, fine_part);
        for (std::int64_t b = 0; b < coarse_blocks; ++b)
            transforms.gradient(
                coarse.data + frequency * coarse.stride + b * coarse.block_stride + skipped, slice,
                groups, coarse_memory + b * groups * slice, coarse_part);
        use(Factors{{memory.data(), groups * slice, fine_part},
                    {coarse_memory, groups * slice, coarse_part},
                    groups * block.tiles});
    }
}

// Adds the products of a block for one frequency and panels [begin, end).
template <class T>
void add_block(const Plan<T>& plan, const TileBlock& block, const WinogradFrequencies& fine,
               const WinogradFrequencies& coarse, int frequency, std::int64_t begin,
               std::int64_t end, bool add, float* sums) {
    const auto use = [&](const Factors& factors) {
        for (std::int64_t panel = begin; panel < end; ++panel)
            add_products(plan, factors, frequency, panel, add, sums);
        add = true;
    };
    if (plan.tiles.form.deep())
        for_groups(plan, block, fine, coarse, frequency, use);
    else
        for_taps(block, fine, coarse, frequency, use);
}

// One chunk of the blocks.
template <class T>
void run_chunk(const Plan<T>& plan, std::int64_t first_unit, std::int64_t end_unit, float* sums) {
    const WinogradTiles& tiles = plan.tiles;
    const std::int64_t fine_channels = plan.pass.source_channels();
    const std::int64_t coarse_channels = plan.pass.target_channels();
    const std::int64_t fine_size =
        frequencies_size(tiles.form, tiles.largest().source_tiles(), fine_channels);
    const std::int64_t coarse_size =
        frequencies_size(tiles.form, tiles.largest().padded_tiles(), coarse_channels);
    Workspace<float> memory(std::max(fine_size + coarse_size, huge_block));
    for (std::int64_t unit = first_unit; unit < end_unit; ++unit) {
        const TileBlock block = tiles.at(unit);
        const std::int64_t sources = block.source_tiles(), targets = block.padded_tiles();
        const auto fine = frequencies_at(memory.data(), sources, fine_channels);
        const auto coarse = frequencies_at(memory.data() + fine_size, targets, coarse_channels);
        transform_source(plan.pass, tiles, block, 0, sources, fine);
        transform_gradient(plan.coarse, tiles, block, 0, targets, coarse);
        for (int f = 0; f < tiles.form.frequencies(); ++f)
            add_block(plan, block, fine, coarse, f, 0, plan.right_panels, unit != first_unit, sums);
    }
}

// One block, which may be large, in two phases.
template <class T>
void run_phases(const Plan<T>& plan, const TileBlock& block, bool add, float* sums) {
    const WinogradTiles& tiles = plan.tiles;
    const std::int64_t fine_channels = plan.pass.source_channels();
    const std::int64_t coarse_channels = plan.pass.target_channels();
    const std::int64_t sources = block.source_tiles(), targets = block.padded_tiles();
    const std::int64_t fine_size = frequencies_size(tiles.form, sources, fine_channels);
    const std::int64_t coarse_size = frequencies_size(tiles.form, targets, coarse_channels);
    Workspace<float> fine_memory(fine_size), coarse_memory(coarse_size);
    auto fine = frequencies_at(fine_memory.data(), sources, fine_channels);
    auto coarse = frequencies_at(coarse_memory.data(), targets, coarse_channels);
    fine.past_cache = coarse.past_cache = fine_size + coarse_size > cached_phase;
    parallel_for_ranges(sources, transform_grain, [&](std::int64_t begin, std::int64_t end) {
        transform_source(plan.pass, tiles, block, begin, end, fine);
    });
    parallel_for_ranges(targets, transform_grain, [&](std::int64_t begin, std::int64_t end) {
        transform_gradient(plan.coarse, tiles, block, begin, end, coarse);
    });
    // What is transformed in depth is transformed once for all panels.
    const std::int64_t panels = tiles.form.deep() ? plan.right_panels : 1;
    const std::int64_t parts = plan.right_panels / panels;
    parallel_for(tiles.form.frequencies() * parts, [&](std::int64_t task) {
        const std::int64_t first = task % parts * panels;
        add_block(plan, block, fine, coarse, static_cast<int>(task / parts), first, first + panels,
                  add, sums);
    });
}

// Adds the partial gradients to the first one, in order.
template <class T>
void add_chunks(const Plan<T>& plan, std::int64_t chunks, float* partial) {
    parallel_for_ranges(plan.size(), sum_grain, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t chunk = 1; chunk < chunks; ++chunk) {
            const float* more = partial + chunk * plan.size();
            for (std::int64_t i = begin; i < end; ++i) partial[i] += more[i];
        }
    });
}

// Transforms the sums of one block back and puts them in weight order.
template <class T>
void transform_back(const Plan<T>& plan, std::int64_t panel, std::int64_t block, float* sums,
                    float* grad_weight) {
    const ConvGeometry& g = plan.pass.geometry;
    const WinogradForm form = plan.tiles.form;
    const GatherPhase& phase = plan.phase_at(panel, block);
    const std::int64_t right = panel * plan.width;
    const auto valid = static_cast<int>(std::min(plan.width, plan.right_channels - right));
    float* source = sums + plan.block_at(panel, block);
    Workspace<float> unused(plan.width);  // of a tap that the phase has not
    if (form.deep())
        for (int f = 0; f < form.frequencies(); ++f)
            winograd_depth_kernels()
                .of(form.group)
                .weight_gradient(source + f * plan.stride, strip_block * plan.width);
    for (std::int64_t row = 0; row < plan.tiles.depth_taps * strip_block;
         ++row, source += plan.width) {
        const std::int64_t left = block * strip_block + row % strip_block,
                           depth = row / strip_block;
        if (left >= plan.left_channels || !plan.has_part(panel, block, depth)) continue;
        const std::int64_t fine = (plan.right_is_fine ? right : left) % g.fine_channels;
        const std::int64_t coarse = plan.right_is_fine ? left : right;
        float* taps[winograd_kernel * winograd_kernel];
        for (int t = 0; t < form.plane(); ++t) {
            const auto tap = plan.pass.tap_at(phase, depth, t / form.taps, t % form.taps);
            taps[t] = tap < 0 ? unused.data() : grad_weight + g.weight_index(0, coarse, fine, tap);
        }
        winograd_kernels().weights.of(form).weight_gradient(source, plan.stride, taps, valid);
    }
}

// Floats of the frequencies of a batch of tiles for so many sums.
constexpr std::int64_t budget_of_phase(std::int64_t sums) {
    const bool cached = 2 * sums <= cached_phase;
    return std::max(cached ? phase_budget : large_phase_budget, 2 * sums);
}

template <class T>
Plan<T> make_plan(WinogradForm form, const WinogradPass<T>& pass, const T* coarse) {
    const ConvGeometry& g = pass.geometry;
    Plan<T> plan{pass, coarse_grid(g, coarse), !g.transposed, winograd_product_kernels().panel};
    plan.left_channels = plan.right_is_fine ? g.coarse_channels : pass.fine_channels();
    plan.right_channels = plan.right_is_fine ? pass.fine_channels() : g.coarse_channels;
    plan.left_blocks = divide_up(plan.left_channels, strip_block);
    plan.right_panels = divide_up(plan.right_channels, plan.width);
    const std::int64_t tile_size =
        form.frequencies() * strip_block *
        (divide_up(pass.fine_channels(), strip_block) + divide_up(g.coarse_channels, strip_block));
    plan.tiles = cut_tiles(form, pass, most_slices, std::min(cached_block / tile_size, most_tiles));
    plan.block_size = plan.tiles.depth_parts() * strip_block * plan.width;
    plan.stride = frequency_stride(plan.block_at(plan.right_panels, 0));
    return plan;
}

}  // namespace

template <class T, int tile>
void conv_winograd_weight_gradient(const ConvGeometry& g, const T* fine, const T* coarse,
                                   float* grad_weight) {
    const Piece<const T> whole = whole_image(fine, g.fine_channels);
    conv_winograd_weight_gradient_of_pieces<T, tile>(g, {&whole, 1}, coarse, grad_weight);
}

template <class T, int tile>
void conv_winograd_weight_gradient_of_pieces(const ConvGeometry& g, ImagePieces<const T> fine,
                                             const T* coarse, float* grad_weight) {
    const WinogradPass<T> pass(PiecewisePass<T>{forward_sides(g), fine, nullptr, {}, {}});
    const WinogradForm form = choose_form<T>(tile, pass, g.batch, sum_cost);
    Plan<T> plan = make_plan(form, pass, coarse);
    if (plan.tiles.count * plan.tiles.slices == 0) {
        std::fill_n(grad_weight, g.weight_size(), 0.0f);
        return;
    }
    const bool phases = plan.size() > cached_gradient || plan.tiles.units() < enough_chunks ||
                        pass.phases.size() > 1;
    const std::int64_t chunks = phases ? 1 : enough_chunks;
    Workspace<float> partial(chunks * plan.size());
    if (phases) {
        const std::int64_t both = form.frequencies() * (pass.fine_channels() + g.coarse_channels);
        plan.tiles = cut_tiles(form, pass, most_phase_slices, budget_of_phase(plan.size()) / both);
        for (std::int64_t unit = 0; unit < plan.tiles.units(); ++unit)
            run_phases(plan, plan.tiles.at(unit), unit > 0, partial.data());
    } else {
        const std::int64_t units = plan.tiles.units();
        parallel_for(chunks, [&](std::int64_t chunk) {
            run_chunk(plan, chunk * units / chunks, (chunk + 1) * units / chunks,
                      partial.data() + chunk * plan.size());
        });
        add_chunks(plan, chunks, partial.data());
    }
    parallel_for(plan.right_panels * plan.left_blocks, [&](std::int64_t task) {
        transform_back(plan, task / plan.left_blocks, task % plan.left_blocks, partial.data(),
                       grad_weight);
    });
}

#define VOXELGRAD_WEIGHT_GRADIENT(T, tile)                                                        \
    template void conv_winograd_weight_gradient<T, tile>(const ConvGeometry&, const T*, const T*, \
                                                         float*);                                 \
    template void conv_winograd_weight_gradient_of_pieces<T, tile>(                               \
        const ConvGeometry&, ImagePieces<const T>, const T*, float*);
VOXELGRAD_WEIGHT_GRADIENT(float, 0)
VOXELGRAD_WEIGHT_GRADIENT(float, 4)
VOXELGRAD_WEIGHT_GRADIENT(float, 5)
VOXELGRAD_WEIGHT_GRADIENT(float, 6)
VOXELGRAD_WEIGHT_GRADIENT(bf16, 0)
VOXELGRAD_WEIGHT_GRADIENT(bf16, 4)
VOXELGRAD_WEIGHT_GRADIENT(bf16, 5)
VOXELGRAD_WEIGHT_GRADIENT(bf16, 6)

}  // namespace voxelgrad

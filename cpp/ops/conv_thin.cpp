// Convolutions of a few channels, the first ones of a network, whose weight gradient is summed in
// the frequencies of F(3x3, 2x2); forward and backward data are Winograd's or direct.
//
// A unit is a pair of target rows. Units are dealt to chunks that the geometry alone decides; each
// chunk sums into frequencies of its own, and these are added in the order of the chunks. Depth is
// innermost: the source slices that neighbouring units share are transformed once.
#include "kernels/conv_thin.hpp"

#include <algorithm>
#include <type_traits>
#include <utility>

#include "core/isa.hpp"
#include "core/parallel_for.hpp"
#include "core/pool.hpp"
#include "core/split.hpp"
#include "kernels/cast.hpp"
#include "kernels/conv_direct.hpp"
#include "ops/conv_algorithms.hpp"
#include "ops/conv_pass.hpp"
#include "ops/conv_winograd.hpp"

namespace voxelgrad {
namespace {

constexpr std::int64_t most_channels = 7, fewest_targets = 12;
constexpr std::int64_t sum_grain = 1 << 14;
constexpr int side = winograd_kernel;

// T: of the images. What is read of bfloat16 ones becomes float in small pieces.
template <class T>
struct Plan {
    const ConvGeometry& geometry;
    const T* fine;
    const T* coarse;
    std::int64_t row_pairs, column_pairs;
    std::int64_t depth_taps, lanes, vectors;  // vectors of coarse channels
    std::int64_t units, chunks;

    std::int64_t row_size() const { return (2 * column_pairs + 2) * geometry.fine_channels; }
    // [row frequency][column pair][column frequency][fine channel]
    std::int64_t row_frequency_size() const {
        return column_pairs * thin_frequencies * geometry.fine_channels;
    }
    std::int64_t slice_size() const { return thin_frequencies * row_frequency_size(); }
    // [depth tap][vector][row frequency][column frequency][fine channel][lane]
    std::int64_t row_sums() const { return thin_frequencies * geometry.fine_channels * lanes; }
    std::int64_t sums_at(std::int64_t tap, std::int64_t vector, std::int64_t frequency) const {
        return ((tap * vectors + vector) * thin_frequencies + frequency) * row_sums();
    }
    std::int64_t sums_size() const { return sums_at(depth_taps, 0, 0); }
};

struct Place {
    std::int64_t image, pair, depth;
};

template <class T>
Place place_of(const Plan<T>& plan, std::int64_t unit) {
    const std::int64_t depth = plan.geometry.coarse[0], pairs = plan.row_pairs;
    return {unit / depth / pairs, unit / depth % pairs, unit % depth};
}

template <class T>
Plan<T> make_plan(const ConvGeometry& g, const T* fine, const T* coarse) {
    const std::int64_t lanes = conv_thin_kernels().lanes;
    Plan<T> plan{g,
                 fine,
                 coarse,
                 divide_up(g.coarse[1], 2),
                 divide_up(g.coarse[2], 2),
                 g.kernel[0],
                 lanes,
                 divide_up(g.coarse_channels, lanes),
                 0,
                 1};
    plan.units = g.batch * plan.row_pairs * g.coarse[0];
    const std::int64_t arrays =
        g.batch * (g.fine_pixels() * g.fine_channels + g.coarse_pixels() * g.coarse_channels);
    const std::int64_t wanted = std::min(enough_tasks(g), arrays / plan.sums_size());
    plan.chunks = std::clamp<std::int64_t>(wanted, 1, std::max<std::int64_t>(plan.units, 1));
    return plan;
}

void copy_values(const float* from, std::int64_t count, float* to) { std::copy_n(from, count, to); }
void copy_values(const bf16* from, std::int64_t count, float* to) {
    cast_kernels().widen(from, to, count, false);
}

// A row of the image with its padding; zeros where there is no such row.
template <class T>
void copy_row(const Plan<T>& plan, std::int64_t image, std::int64_t depth, std::int64_t height,
              float* row) {
    const ConvGeometry& g = plan.geometry;
    const std::int64_t channels = g.fine_channels, columns = 2 * plan.column_pairs + 2;
    const std::int64_t first = -g.padding[2];
    const std::int64_t begin = std::clamp<std::int64_t>(-first, 0, columns);
    const std::int64_t end =
        height < 0 || height >= g.fine[1] ? begin : std::clamp(g.fine[2] - first, begin, columns);
    const T* source =
        plan.fine + ((image * g.fine[0] + depth) * g.fine[1] + height) * g.fine[2] * channels;
    std::fill_n(row, begin * channels, 0.0f);
    if (end > begin)
        copy_values(source + (first + begin) * channels, (end - begin) * channels,
                    row + begin * channels);
    std::fill_n(row + end * channels, (columns - end) * channels, 0.0f);
}

template <class T>
void transform_slice(const Plan<T>& plan, const Place& place, std::int64_t slice, float* rows,
                     float* frequencies) {
    ThinSource source{};
    for (int i = 0; i < thin_frequencies; ++i) {
        float* const row = rows + i * plan.row_size();
        copy_row(plan, place.image, slice, 2 * place.pair + i - plan.geometry.padding[1], row);
        source.rows[i] = row;
    }
    source.pairs = plan.column_pairs;
    source.channels = static_cast<int>(plan.geometry.fine_channels);
    source.combined = rows + thin_frequencies * plan.row_size();
    source.frequencies = frequencies;
    conv_thin_kernels().transform(source);
}

template <class T>
const T* target_rows(const Plan<T>& plan, const Place& place) {
    const ConvGeometry& g = plan.geometry;
    return plan.coarse +
           ((place.image * g.coarse[0] + place.depth) * g.coarse[1] + 2 * place.pair) *
               g.coarse[2] * g.coarse_channels;
}

// The pair of target rows of a unit as floats, and where to ask for those of the unit after it: as
// many bytes of bfloat16 as a row of floats has are both rows.
struct TargetRows {
    const float* rows;
    const float* next;
    std::int64_t next_step;
};

TargetRows floats_of(const Plan<float>& plan, const Place& place, const Place& next, float*) {
    const std::int64_t row = plan.geometry.coarse[2] * plan.geometry.coarse_channels;
    return {target_rows(plan, place), target_rows(plan, next), row};
}

TargetRows floats_of(const Plan<bf16>& plan, const Place& place, const Place& next, float* room) {
    const ConvGeometry& g = plan.geometry;
    const std::int64_t rows = std::min<std::int64_t>(2, g.coarse[1] - 2 * place.pair);
    copy_values(target_rows(plan, place), rows * g.coarse[2] * g.coarse_channels, room);
    return {room, reinterpret_cast<const float*>(target_rows(plan, next)), 0};
}

// Adds the products of a pair of target rows with one source slice.
template <class T>
void add_slice(const Plan<T>& plan, const Place& place, const TargetRows& target, std::int64_t tap,
               const float* frequencies, float* sums) {
    const ConvGeometry& g = plan.geometry;
    const std::int64_t row_step = g.coarse[2] * g.coarse_channels;
    const bool single = 2 * place.pair + 1 == g.coarse[1];
    ThinProducts products{};
    products.pixels = g.coarse[2];
    products.pixel_step = g.coarse_channels;
    products.channels = static_cast<int>(g.fine_channels);
    constexpr ThinRows pairs[] = {ThinRows::first, ThinRows::sum, ThinRows::difference,
                                  ThinRows::first};
    for (std::int64_t v = 0; v < plan.vectors; ++v)
        for (int f = 0; f < thin_frequencies; ++f) {
            if (single && f == 3) continue;
            const std::int64_t channel = v * plan.lanes;
            products.combine = single ? ThinRows::first : pairs[f];
            products.first = target.rows + channel + (f == 3 ? row_step : 0);
            products.second = target.rows + channel + row_step;
            products.valid = g.coarse_channels - channel;
            products.frequencies = frequencies + f * plan.row_frequency_size();
            // Each frequency asks for another pixel of four.
            products.ahead =
                target.next + channel + f % 2 * target.next_step + f / 2 * g.coarse_channels;
            products.sums = sums + plan.sums_at(tap, v, f);
            conv_thin_kernels().add_products(products);
        }
}

template <class T>
void run_chunk(const Plan<T>& plan, std::int64_t first, std::int64_t end, float* sums) {
    const ConvGeometry& g = plan.geometry;
    const std::int64_t taps = plan.depth_taps;
    Workspace<float> rows((thin_frequencies + 1) * plan.row_size());
    Workspace<float> targets(std::is_same_v<T, float> ? 0 : 2 * g.coarse[2] * g.coarse_channels);
    Workspace<float> slices(taps * plan.slice_size());
    Workspace<std::int64_t> held(taps);  // which slice of all images is where
    std::fill_n(held.data(), taps, std::int64_t{-1});
    std::fill_n(sums, plan.sums_size(), 0.0f);
    for (std::int64_t unit = first; unit < end; ++unit) {
        const Place place = place_of(plan, unit);
        const TargetRows target =
            floats_of(plan, place, place_of(plan, std::min(unit + 1, end - 1)), targets.data());
        for (std::int64_t tap = 0; tap < taps; ++tap) {
            const std::int64_t slice = place.depth + tap - g.padding[0];
            if (slice < 0 || slice >= g.fine[0]) continue;
            float* const frequencies = slices.data() + slice % taps * plan.slice_size();
            const std::int64_t number =
                (place.image * plan.row_pairs + place.pair) * g.fine[0] + slice;
            if (std::exchange(held[slice % taps], number) != number)
                transform_slice(plan, place, slice, rows.data(), frequencies);
            add_slice(plan, place, target, tap, frequencies, sums);
        }
    }
}

// The three taps of four frequencies that lie `step` apart.
void taps_of(const float* frequencies, std::int64_t step, float* taps) {
    const float first = frequencies[step], second = frequencies[2 * step];
    const float half = 0.5f * (first + second);
    taps[0] = frequencies[0] + half;
    taps[1] = 0.5f * (first - second);
    taps[2] = half - frequencies[3 * step];
}

template <class T>
void transform_back(const Plan<T>& plan, const float* sums, float* grad_weight) {
    const ConvGeometry& g = plan.geometry;
    const std::int64_t column_step = g.fine_channels * plan.lanes;
    for (std::int64_t tap = 0; tap < plan.depth_taps; ++tap)
        for (std::int64_t k = 0; k < g.coarse_channels; ++k)
            for (std::int64_t c = 0; c < g.fine_channels; ++c) {
                const float* from =
                    sums + plan.sums_at(tap, k / plan.lanes, 0) + c * plan.lanes + k % plan.lanes;
                float rows[thin_frequencies * side];  // [column frequency][row tap]
                for (int f = 0; f < thin_frequencies; ++f)
                    taps_of(from + f * column_step, plan.row_sums(), rows + f * side);
                for (int r = 0; r < side; ++r) {
                    float columns[side];
                    taps_of(rows + r, side, columns);
                    for (int s = 0; s < side; ++s)
                        grad_weight[g.weight_index(0, k, c, (tap * side + r) * side + s)] =
                            columns[s];
                }
            }
}

template <class T>
void weight_gradient(const ConvGeometry& g, const T* fine, const T* coarse, float* grad_weight) {
    const Plan<T> plan = make_plan(g, fine, coarse);
    const std::int64_t size = plan.sums_size();
    Workspace<float> sums(plan.chunks * size);
    parallel_for(plan.chunks, [&](std::int64_t chunk) {
        run_chunk(plan, chunk * plan.units / plan.chunks, (chunk + 1) * plan.units / plan.chunks,
                  sums.data() + chunk * size);
    });
    parallel_for_ranges(size, sum_grain, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t chunk = 1; chunk < plan.chunks; ++chunk)
            for (std::int64_t i = begin; i < end; ++i) sums[i] += sums[chunk * size + i];
    });
    transform_back(plan, sums.data(), grad_weight);
}

// The algorithm of the other passes. Winograd's transforms cost the same for any few channels, and
// the products that they save are more with taps in depth.
template <class T>
const ConvAlgorithmFor<T>& others(const ConvGeometry& g) {
    const std::int64_t fewest = g.kernel[0] == winograd_depth_taps ? 3 : 6;
    const bool saves = g.fine_channels >= fewest && g.coarse_channels >= strip_block;
    if constexpr (std::is_same_v<T, bf16>)
        return saves ? conv_winograd_bf16 : conv_widened;
    else
        return saves ? conv_winograd : conv_direct;
}

template <class T>
void coarse_from_fine(const ConvGeometry& g, const T* fine, const float* weight,
                      const ConvEpilogue& epilogue, T* coarse) {
    others<T>(g).coarse_from_fine(g, fine, weight, epilogue, coarse);
}

template <class T>
void fine_from_coarse(const ConvGeometry& g, const T* coarse, const float* weight,
                      const ConvEpilogue& epilogue, T* fine) {
    others<T>(g).fine_from_coarse(g, coarse, weight, epilogue, fine);
}

// Without multiply-adds that broadcast what they read, broadcasts take as long as the products; AMX
// multiplies bfloat16 faster than this.
template <class T>
bool worthwhile(const ConvGeometry& g) {
    const bool tiles = std::is_same_v<T, bf16> && active_isa() == Isa::amx;
    return active_isa() >= Isa::avx512 && !tiles && g.fine_channels <= most_channels &&
           g.coarse_channels >= fewest_targets;
}

template <class T>
constexpr ConvAlgorithmFor<T> thin = {"thin",
                                      winograd_accepts,
                                      worthwhile<T>,
                                      coarse_from_fine<T>,
                                      fine_from_coarse<T>,
                                      weight_gradient<T>};

}  // namespace

extern const ConvAlgorithm conv_thin = thin<float>;
extern const ConvAlgorithmFor<bf16> conv_thin_bf16 = thin<bf16>;

}  // namespace voxelgrad

#include "ops/conv_winograd_pass.hpp"

#include <algorithm>
#include <utility>

#include "core/bf16.hpp"
#include "core/streaming.hpp"

namespace voxelgrad {
namespace {

template <class T>
WinogradGrid<T> grid_of(const ConvGeometry& g, const Side& side, const Piece<T>& piece,
                        const GatherPhase& phase, std::int64_t first_channel) {
    WinogradGrid<T> grid{};
    const std::int64_t pitch = piece.rows.pitch;
    std::int64_t step = pitch;
    grid.data = piece.rows.data;
    for (int a = conv_axes - 1; a >= 0; step *= side.extent[a--]) {
        grid.data += phase.start[a] * step;
        grid.step[a] = phase.step[a] * step;
        grid.extent[a] = (side.extent[a] - phase.start[a] + phase.step[a] - 1) / phase.step[a];
    }
    grid.image_step = step;
    grid.begin = first_channel + piece.begin;
    grid.end = first_channel + piece.end;
    grid.past_cache = worth_streaming(piece.rows.data, g.batch * step, pitch);
    return grid;
}

template <class T>
std::vector<WinogradGrid<T>> grids_of(const ConvGeometry& g, const Side& side,
                                      ImagePieces<T> pieces,
                                      const std::vector<GatherPhase>& phases) {
    std::vector<WinogradGrid<T>> grids;
    for (std::size_t k = 0; k < phases.size(); ++k)
        for (const Piece<T>& piece : pieces)
            grids.push_back(
                grid_of(g, side, piece, phases[k], static_cast<std::int64_t>(k) * side.channels));
    return grids;
}

// Every pixel of the coarse grid.
GatherPhase all_pixels() {
    GatherPhase phase{};
    std::fill_n(phase.step, conv_axes, 1);
    return phase;
}

std::vector<GatherPhase> phases_of(const ConvGeometry& g, bool target_is_coarse) {
    return target_is_coarse ? gather_coarse_from_phases(g) : gather_fine_from_coarse(g);
}

}  // namespace

WinogradSides::WinogradSides(const Sides& sides, std::vector<GatherPhase> phases_of_fine)
    : Sides(sides), phases(std::move(phases_of_fine)), whole(merged(phases)) {}

std::int64_t WinogradSides::tap_at(const GatherPhase& phase, std::int64_t depth, std::int64_t row,
                                   std::int64_t column) const {
    for (const GatherTap& tap : phase.taps)
        if (tap.offset[0] - whole.low[0] == depth && tap.offset[1] - whole.low[1] == row &&
            tap.offset[2] - whole.low[2] == column)
            return tap.number;
    return -1;
}

bool WinogradSides::reaches(const GatherPhase& phase, std::int64_t depth) const {
    const std::int64_t offset = whole.low[0] + depth;
    return !phase.taps.empty() && phase.low[0] <= offset && offset <= phase.high[0];
}

std::int64_t WinogradSides::depth_ties() const {
    std::int64_t ties = 0;
    for (const GatherPhase& phase : phases)
        for (std::int64_t depth = 0; depth < depth_taps(); ++depth) ties += reaches(phase, depth);
    return ties;
}

template <class T>
WinogradPass<T>::WinogradPass(const PiecewisePass<T>& pass)
    : WinogradSides(pass, phases_of(pass.geometry, pass.target_is_coarse)),
      weight(pass.weight),
      epilogue(pass.epilogue) {
    const std::vector<GatherPhase> coarse{all_pixels()};
    sources = grids_of(geometry, source, pass.sources, target_is_coarse ? phases : coarse);
    targets = grids_of(geometry, target, pass.targets, target_is_coarse ? coarse : phases);
}
template struct WinogradPass<float>;
template struct WinogradPass<bf16>;

template <class T>
WinogradGrid<const T> coarse_grid(const ConvGeometry& g, const T* coarse) {
    return grid_of(g, forward_sides(g).target, whole_image(coarse, g.coarse_channels), all_pixels(),
                   0);
}
template WinogradGrid<const float> coarse_grid(const ConvGeometry&, const float*);
template WinogradGrid<const bf16> coarse_grid(const ConvGeometry&, const bf16*);

}  // namespace voxelgrad

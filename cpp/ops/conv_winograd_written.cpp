#include <algorithm>

#include "ops/conv_winograd.hpp"
#include "ops/conv_written.hpp"

namespace voxelgrad {

void tell_of_tiles(WrittenChunks& written, const WinogradTiles& tiles, const TileBlock& block,
                   const std::int64_t* extent, std::int64_t channels, std::int64_t first,
                   std::int64_t count) {
    const std::int64_t tile = tiles.form.tile, end = first + count;
    for (std::int64_t at = first; at < end;) {
        const TilePlace place = place_of(tiles, block.first + at % block.tiles);
        // Tiles that follow each other in this row of tiles and this slice.
        const std::int64_t run = std::min(
            {tiles.columns - place.column / tile, block.tiles - at % block.tiles, end - at});
        const std::int64_t from[] = {block.depth + at / block.tiles, place.row, place.column};
        const std::int64_t pixels[] = {1, std::min(tile, extent[1] - place.row),
                                       std::min(run * tile, extent[2] - place.column)};
        tell_of_box(written, extent, place.image, from, pixels, channels);
        at += run;
    }
}

}  // namespace voxelgrad

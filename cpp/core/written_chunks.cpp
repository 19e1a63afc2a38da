#include "core/written_chunks.hpp"

#include <algorithm>
#include <utility>

#include "core/parallel_for.hpp"
#include "core/split.hpp"

namespace voxelgrad {

WrittenChunks::WrittenChunks(std::int64_t samples, std::int64_t pixels, std::int64_t channels,
                             std::int64_t chunk, Read read)
    : pixels_(pixels),
      channels_(channels),
      chunk_(chunk),
      chunks_(divide_up(pixels * channels, chunk)),
      missing_(static_cast<std::size_t>(samples * chunks_)),
      read_(std::move(read)) {
    for (std::size_t at = 0; at < missing_.size(); ++at) {
        const std::int64_t k = static_cast<std::int64_t>(at) % chunks_;
        missing_[at].store((end_pixel(k) - first_pixel(k)) * channels, std::memory_order_relaxed);
    }
}

std::int64_t WrittenChunks::end_pixel(std::int64_t chunk) const {
    return std::min(divide_up((chunk + 1) * chunk_, channels_), pixels_);
}

void WrittenChunks::wrote(std::int64_t begin, std::int64_t end, std::int64_t count) {
    while (begin < end) {
        const std::int64_t sample = begin / pixels_, start = sample * pixels_;
        const std::int64_t first = begin - start, last = std::min(end - start, pixels_);
        for (std::int64_t k = first * channels_ / chunk_; k < chunks_ && first_pixel(k) < last;
             ++k) {
            const std::int64_t pixels =
                std::min(last, end_pixel(k)) - std::max(first, first_pixel(k));
            std::atomic<std::int64_t>& missing =
                missing_[static_cast<std::size_t>(sample * chunks_ + k)];
            const std::int64_t told = pixels * count;
            if (missing.fetch_sub(told, std::memory_order_acq_rel) == told) read_(sample, k);
        }
        begin = start + last;
    }
}

void WrittenChunks::finish() {
    parallel_for(static_cast<std::int64_t>(missing_.size()), [&](std::int64_t at) {
        if (missing_[static_cast<std::size_t>(at)].load(std::memory_order_relaxed) > 0)
            read_(at / chunks_, at % chunks_);
    });
}

}  // namespace voxelgrad

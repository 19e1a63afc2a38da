// Chunks of an array that are read while others are still being written.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <vector>

namespace voxelgrad {

// Each chunk is read by the thread that wrote the last of its numbers, which still has many of them
// in its cache. Chunks are the same for any number of threads, so what is read from each is too.
class WrittenChunks {
 public:
    using Read = std::function<void(std::int64_t sample, std::int64_t chunk)>;

    // An array (samples, pixels, channels); each sample begins a chunk of `chunk` numbers. `read`
    // may run on several threads at a time, for chunks that differ.
    WrittenChunks(std::int64_t samples, std::int64_t pixels, std::int64_t channels,
                  std::int64_t chunk, Read read);

    // `count` channels, no matter which, of pixels [begin, end), counted through all samples, are
    // written and can be seen by other threads. Every number may be told of once. Thread safe.
    void wrote(std::int64_t begin, std::int64_t end, std::int64_t count);

    // Everything is written: reads the chunks of which not every number was told.
    void finish();

 private:
    // Those that hold numbers of the chunk, in its sample.
    std::int64_t first_pixel(std::int64_t chunk) const { return chunk * chunk_ / channels_; }
    std::int64_t end_pixel(std::int64_t chunk) const;

    std::int64_t pixels_, channels_, chunk_, chunks_;  // of a sample
    std::vector<std::atomic<std::int64_t>> missing_;   // numbers of the pixels of each chunk
    Read read_;
};

}  // namespace voxelgrad

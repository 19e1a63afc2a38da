// Small tables from the host, in device memory that the launch carries there.
#pragma once

#include <algorithm>
#include <bit>
#include <vector>

#include "cuda/core/launch.hpp"
#include "cuda/core/workspace.hpp"

namespace voxelgrad::cuda {

// What fits into the parameters of one launch. Parameters are copied when the launch is made, or
// captured: nothing waits, and the host's memory may change afterwards.
struct UploadedWords {
    static constexpr int most = 1000;
    std::uint32_t word[most];
};

static __global__ void upload_kernel(UploadedWords words, int count, std::uint32_t* target) {
    const int thread = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (thread < count) target[thread] = words.word[thread];
}

// Writes the words to device memory at `target`.
inline void upload_to(const char* op, Stream stream, const std::vector<std::uint32_t>& words,
                      std::uint32_t* target) {
    const auto total = static_cast<std::int64_t>(words.size());
    for (std::int64_t begin = 0; begin < total; begin += UploadedWords::most) {
        const auto count =
            static_cast<int>(std::min<std::int64_t>(UploadedWords::most, total - begin));
        UploadedWords some{};
        std::copy_n(words.data() + begin, count, some.word);
        launch(op, stream, threads_for(count), upload_kernel, some, count, target + begin);
    }
}

inline Workspace<std::uint32_t> upload(const char* op, Stream stream,
                                       const std::vector<std::uint32_t>& words) {
    Workspace<std::uint32_t> device(static_cast<std::int64_t>(words.size()));
    upload_to(op, stream, words, device.data());
    return device;
}

}  // namespace voxelgrad::cuda

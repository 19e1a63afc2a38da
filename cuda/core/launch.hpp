// Starting kernels on a stream, and what the host asks of the CUDA runtime. Nothing here waits.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

#include "core/split.hpp"
#include "cuda/core/platform.hpp"

namespace voxelgrad::cuda {

struct Grid {
    dim3 blocks, threads;
    std::size_t shared_bytes = 0;  // of dynamic shared memory
};

constexpr int block_threads = 256;  // of kernels in which any number of threads would do

// One thread a thing.
inline Grid threads_for(std::int64_t things) {
    return {dim3(static_cast<unsigned>(divide_up(things, block_threads))), dim3(block_threads)};
}

#if defined(__CUDACC__)

inline void check_cuda(const char* op, cudaError_t status) {
    if (status != cudaSuccess)
        throw std::runtime_error(std::string(op) + ": " + cudaGetErrorName(status) + ": " +
                                 cudaGetErrorString(status));
}

// Returns at once; `op` is named when the launch fails. A grid without blocks is no launch.
template <class... Parameters, class... Arguments>
void launch(const char* op, Stream stream, const Grid& grid, void (*kernel)(Parameters...),
            const Arguments&... arguments) {
    if (grid.blocks.x == 0 || grid.blocks.y == 0 || grid.blocks.z == 0) return;
    if (grid.shared_bytes > 48 << 10)
        check_cuda(op, cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                            static_cast<int>(grid.shared_bytes)));
    kernel<<<grid.blocks, grid.threads, grid.shared_bytes, stream>>>(Parameters(arguments)...);
    check_cuda(op, cudaGetLastError());
}

#else

template <class... Parameters, class... Arguments>
void launch(const char* op, Stream stream, const Grid& grid, void (*kernel)(Parameters...),
            const Arguments&... arguments) {
    if (grid.blocks.x == 0 || grid.blocks.y == 0 || grid.blocks.z == 0) return;
    // Parameters are copied when the launch is made: it may be captured and run later.
    emulation::submit(stream, [op = std::string(op), grid, kernel,
                               parameters = std::tuple<Parameters...>(Parameters(arguments)...)] {
        emulation::run(op.c_str(), grid.blocks, grid.threads, grid.shared_bytes,
                       [&] { std::apply(kernel, parameters); });
    });
}

#endif

}  // namespace voxelgrad::cuda

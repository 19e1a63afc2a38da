// Kernels with one fault each, and kernels that use every function of a warp: the emulation's
// tests.
#include <pybind11/pybind11.h>

#include "cuda/core/launch.hpp"

namespace voxelgrad::cuda {
namespace {

constexpr unsigned everybody = 0xFFFFFFFFu;

__global__ void skips_barrier(float*) {
    if (threadIdx.x < 7) __syncthreads();
}

__global__ void waits_at_two_barriers(float*) {
    if (threadIdx.x < 7)
        __syncthreads();
    else
        __syncthreads();
}

__global__ void leaves_warp(float*) {
    if (threadIdx.x != 3) __syncwarp();
}

__global__ void not_in_mask(float*) { __shfl_sync(0xFFu, 1.0f, 0); }

__global__ void writes_behind(float* array) { array[blockIdx.x * 8 + threadIdx.x + 1] = 1.0f; }

__global__ void writes_before(float* array) { array[int(threadIdx.x) - 1] = 1.0f; }

__global__ void writes_behind_shared(float*) {
    VOXELGRAD_SHARED(small, float[8]);
    const volatile unsigned place = threadIdx.x + 1;
    small[place] = 1.0f;
}

__global__ void writes_behind_dynamic(float*) { dynamic_shared<float>()[threadIdx.x + 1] = 1.0f; }

__global__ void reads_unset_shared(float* array) {
    VOXELGRAD_SHARED(unset, float[8]);
    array[threadIdx.x] = unset[threadIdx.x];
    unset[threadIdx.x] = 1.0f;
}

__global__ void takes_too_much_shared(float* array) {
    VOXELGRAD_SHARED(large, float[49 << 8]);
    large[threadIdx.x] = array[threadIdx.x];
}

// Writes the sum over a block of 1 + thread number, once by barriers and once by each warp
// function.
__global__ void sums(float* array) {
    VOXELGRAD_SHARED(totals, float[64]);
    const unsigned thread = threadIdx.x, lane = thread % warpSize;
    totals[thread] = static_cast<float>(thread + 1);
    for (unsigned half = 32; half > 0; half /= 2) {
        __syncthreads();
        if (thread < half) totals[thread] += totals[thread + half];
    }
    __syncthreads();
    if (thread == 0) array[0] = totals[0];

    float down = static_cast<float>(thread + 1), around = down, up = down;
    for (int step = 16; step > 0; step /= 2) {
        down += __shfl_down_sync(everybody, down, step);
        around += __shfl_xor_sync(everybody, around, step);
    }
    for (int step = 1; step < warpSize; step *= 2) {
        const float lower = __shfl_up_sync(everybody, up, step);
        if (lane >= static_cast<unsigned>(step)) up += lower;
    }
    const float first = __shfl_sync(everybody, down, 0);
    const unsigned odd = __ballot_sync(everybody, thread % 2);
    if (thread == 32) {
        array[1] = first;
        array[2] = around;
        array[4] = static_cast<float>(__popc(odd));
        array[5] = static_cast<float>(__clz(static_cast<int>(odd >> 4)));
    }
    if (thread == 63) array[3] = up;
    // Half warps that meet on their own, in different order.
    const unsigned half = lane < 16 ? 0xFFFFu : 0xFFFF0000u;
    if (lane < 16) __syncwarp(half);
    const float neighbour = __shfl_sync(half, static_cast<float>(thread), 15, 16);
    if (thread == 5) array[6] = neighbour;
    if (thread == 21) array[7] = neighbour;
}

struct Case {
    const char* name;
    void (*kernel)(float*);
    unsigned threads;
    std::size_t shared_bytes;
};

constexpr Case cases[] = {
    {"skips_barrier", skips_barrier, 8, 0},
    {"waits_at_two_barriers", waits_at_two_barriers, 8, 0},
    {"leaves_warp", leaves_warp, 32, 0},
    {"not_in_mask", not_in_mask, 32, 0},
    {"writes_behind", writes_behind, 8, 0},
    {"writes_before", writes_before, 8, 0},
    {"writes_behind_shared", writes_behind_shared, 8, 0},
    {"writes_behind_dynamic", writes_behind_dynamic, 8, 32},
    {"reads_unset_shared", reads_unset_shared, 8, 0},
    {"takes_too_much_shared", takes_too_much_shared, 8, 0},
    {"sums", sums, 64, 0},
    {"too_many_threads", sums, 2048, 0},
};

}  // namespace

void define_faulty_warpgroups(pybind11::module_& m);  // faulty_warpgroups.cu

// Runs the kernel of this name on an array of 8 floats.
void define_faulty(pybind11::module_& m) {
    m.def("run_faulty", [](const std::string& name, std::uintptr_t address) {
        for (const Case& one : cases)
            if (name == one.name)
                launch(one.name, nullptr, {dim3(1), dim3(one.threads), one.shared_bytes},
                       one.kernel, reinterpret_cast<float*>(address));
    });
    define_faulty_warpgroups(m);
}

}  // namespace voxelgrad::cuda

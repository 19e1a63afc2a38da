// Kernels are compiled by nvcc for devices, and by g++ for the emulation of the tests; what differs
// between the two stands here.
//
//   VOXELGRAD_SHARED(name, type...)  a variable in shared memory: VOXELGRAD_SHARED(tile,
//   float[8][9]) dynamic_shared<T>()              the shared memory whose size the launch gives
//   VOXELGRAD_UNROLL                 before a loop that the compiler shall unroll
#pragma once

#include <cstddef>

#if defined(__CUDACC__)

#include <cuda_runtime.h>

#include <type_traits>

#define VOXELGRAD_UNROLL _Pragma("unroll")
#define VOXELGRAD_SHARED(name, ...) __shared__ std::type_identity_t<__VA_ARGS__> name

namespace voxelgrad::cuda {

using Stream = cudaStream_t;

template <class T>
__device__ T* dynamic_shared() {
    extern __shared__ __align__(16) unsigned char voxelgrad_dynamic_shared[];
    return reinterpret_cast<T*>(voxelgrad_dynamic_shared);
}

}  // namespace voxelgrad::cuda

#else

#include "emulation.hpp"

#define VOXELGRAD_UNROLL
#define VOXELGRAD_SHARED(name, ...) auto& name = emulation::shared_variable<__VA_ARGS__>([] {})

namespace voxelgrad::cuda {

using Stream = void*;

template <class T>
T* dynamic_shared() {
    return static_cast<T*>(emulation::dynamic_shared());
}

}  // namespace voxelgrad::cuda

#endif

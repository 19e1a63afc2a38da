// Elementwise kernels: output[i] = function(inputs[i]...), computed in float.
#pragma once

#include <algorithm>
#include <utility>

#include "cuda/core/launch.hpp"
#include "cuda/core/pack.hpp"

namespace voxelgrad::cuda {

// Calls function(number, values...), or function(values...) if it does not ask for the number.
template <class Function, class... Values>
__device__ float call_with_number(const Function& function, std::int64_t number, Values... values) {
    if constexpr (std::is_invocable_v<const Function&, std::int64_t, Values...>)
        return function(number, values...);
    else
        return function(values...);
}

constexpr int map_batch = 4;  // packs of a thread, which are loaded before the first is used
constexpr std::int64_t map_packs = std::int64_t{block_threads} * map_batch;  // of a block

// Packs of one thread, a block apart.
template <int width, class T>
struct MapBatch {
    Pack<T, width> pack[map_batch];

    __device__ MapBatch(const T* input, std::int64_t first, std::int64_t packs) {
        VOXELGRAD_UNROLL
        for (int b = 0; b < map_batch; ++b)
            if (const std::int64_t number = first + b * block_threads; number < packs)
                pack[b] = load_pack<width>(input + number * width);
    }
};

template <int width, class Function, class Out, class... Packs>
__device__ void map_pack(const Function& function, std::int64_t first, Out* output,
                         const Packs&... given) {
    float result[width];
    VOXELGRAD_UNROLL
    for (int i = 0; i < width; ++i)
        result[i] = call_with_number(function, first + i, to_float(given.value[i])...);
    store_rounded(result, output + first);
}

template <int width, class Function, class Out, class... In>
__global__ void __launch_bounds__(block_threads)
    map_kernel(Function function, std::int64_t count, Out* output, const In*... inputs) {
    const std::int64_t packs = count / width, first = blockIdx.x * map_packs + threadIdx.x;
    const auto apply = [&](const MapBatch<width, In>&... given) {
        VOXELGRAD_UNROLL
        for (int b = 0; b < map_batch; ++b)
            if (const std::int64_t number = first + b * block_threads; number < packs)
                map_pack<width>(function, number * width, output, given.pack[b]...);
    };
    apply(MapBatch<width, In>(inputs, first, packs)...);
    // The elements that fill no pack.
    if (const std::int64_t rest = packs * width + first; blockIdx.x == 0 && rest < count)
        if (first < width) map_pack<1>(function, rest, output, load_pack<1>(inputs + rest)...);
}

// The output may be an input. `Function` is a struct with a device operator() of as many floats as
// there are inputs, and of the element's number before them if it wants that.
template <class Function, class Out, class... In>
void map(const char* op, Stream stream, const Function& function, std::int64_t count, Out* output,
         const In*... inputs) {
    constexpr int width = 16 / std::min({sizeof(Out), sizeof(In)...});
    const bool in_packs = all_aligned(output, inputs...);
    const std::int64_t packs = divide_up(count, in_packs ? width : 1);
    launch(op, stream,
           {dim3(static_cast<unsigned>(divide_up(packs, map_packs))), dim3(block_threads)},
           in_packs ? map_kernel<width, Function, Out, In...> : map_kernel<1, Function, Out, In...>,
           function, count, output, inputs...);
}

}  // namespace voxelgrad::cuda

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

template <int width, class Function, class Out, class... In>
__device__ void map_pack(const Function& function, std::int64_t first, Out* output,
                         const In*... inputs) {
    const auto apply = [&](const Pack<In, width>&... given) {
        Pack<Out, width> result;
        VOXELGRAD_UNROLL
        for (int i = 0; i < width; ++i)
            result.value[i] =
                rounded_to<Out>(call_with_number(function, first + i, to_float(given.value[i])...));
        *reinterpret_cast<Pack<Out, width>*>(output + first) = result;
    };
    apply(*reinterpret_cast<const Pack<In, width>*>(inputs + first)...);
}

// A thread computes one pack; the last ones of them the elements that fill none.
template <int width, class Function, class Out, class... In>
__global__ void map_kernel(Function function, std::int64_t count, Out* output,
                           const In*... inputs) {
    const std::int64_t thread = std::int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    const std::int64_t packs = count / width, rest = packs * width + (thread - packs);
    if (thread < packs)
        map_pack<width>(function, thread * width, output, inputs...);
    else if (rest < count)
        map_pack<1>(function, rest, output, inputs...);
}

// The output may be an input. `Function` is a struct with a device operator() of as many floats as
// there are inputs, and of the element's number before them if it wants that.
template <class Function, class Out, class... In>
void map(const char* op, Stream stream, const Function& function, std::int64_t count, Out* output,
         const In*... inputs) {
    constexpr int width = 16 / std::min({sizeof(Out), sizeof(In)...});
    if (all_aligned(output, inputs...))
        launch(op, stream, threads_for(count / width + count % width),
               map_kernel<width, Function, Out, In...>, function, count, output, inputs...);
    else
        launch(op, stream, threads_for(count), map_kernel<1, Function, Out, In...>, function, count,
               output, inputs...);
}

}  // namespace voxelgrad::cuda

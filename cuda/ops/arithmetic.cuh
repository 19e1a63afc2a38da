// Arithmetic of two arrays under numpy's broadcasting; semantics as in cpp/ops/arithmetic.hpp.
#pragma once

#include "core/check.hpp"
#include "cuda/core/divisor.hpp"
#include "cuda/core/map.hpp"
#include "ops/broadcast.hpp"
#include "ops/kind_names.hpp"

namespace voxelgrad::cuda {

template <Binary kind>
struct BinaryValue {
    __device__ float operator()(float a, float b) const {
        if constexpr (kind == Binary::add) return a + b;
        if constexpr (kind == Binary::sub) return a - b;
        if constexpr (kind == Binary::mul) return a * b;
        if constexpr (kind == Binary::div) return a / b;
        // A comparison with NaN is false, so b wins when it is NaN; a needs a test of its own.
        if constexpr (kind == Binary::maximum) return a > b || a != a ? a : b;
        if constexpr (kind == Binary::minimum) return a < b || a != a ? a : b;
    }
};

struct Scaled {
    float factor;
    __device__ float operator()(float value) const { return value * factor; }
};

struct ScaledFirst {
    float factor;
    __device__ float operator()(float value, float) const { return value * factor; }
};

struct Constant {
    float value;
    __device__ float operator()() const { return value; }
};

// One pack of the inner axis, or one value of an operand that is repeated along it.
template <int width, class T>
__device__ Pack<T, width> operand_pack(const Operand<T>& operand, std::int64_t at, int inner) {
    if (operand.stride[inner] != 0) return load_pack<width>(operand.data + at);
    Pack<T, width> repeated;
    VOXELGRAD_UNROLL
    for (int i = 0; i < width; ++i) repeated.value[i] = operand.data[at];
    return repeated;
}

// The extents of a broadcast.
struct Extents {
    WideDivisor axis[max_rank];

    template <class T>
    explicit Extents(const Broadcast<T>& problem) {
        for (int a = 0; a < problem.rank; ++a) axis[a] = WideDivisor(problem.extent[a]);
    }
};

// A thread computes `width` neighbours on the inner axis, whose extent is a multiple of width.
template <int width, class Function, class T>
__global__ void __launch_bounds__(block_threads)
    broadcast_kernel(Function function, const __grid_constant__ Broadcast<T> problem,
                     const __grid_constant__ Extents extents, std::int64_t packs, T* output) {
    const std::int64_t thread = std::int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (thread >= packs) return;
    const int inner = problem.rank - 1;
    std::int64_t rest = thread * width, a = 0, b = 0;
    for (int axis = inner; axis >= 0; --axis) {
        const auto [next, place] = extents.axis[axis].split(rest);
        a += place * problem.a.stride[axis];
        b += place * problem.b.stride[axis];
        rest = next;
    }
    const Pack<T, width> left = operand_pack<width>(problem.a, a, inner);
    const Pack<T, width> right = operand_pack<width>(problem.b, b, inner);
    float result[width];
    VOXELGRAD_UNROLL
    for (int i = 0; i < width; ++i)
        result[i] = function(to_float(left.value[i]), to_float(right.value[i]));
    store_rounded(result, output + thread * width);
}

// Whether an operand can be read in packs: its rows begin at multiples of them.
template <class T>
bool reads_packs(const Operand<T>& operand, int rank) {
    if (operand.stride[rank - 1] == 0) return true;
    for (int axis = 0; axis < rank - 1; ++axis)
        if (operand.stride[axis] % full_width<T> != 0) return false;
    return all_aligned(operand.data);
}

template <class Function, class T>
void broadcast(const char* op, Stream stream, const Function& function, const View<const T>& a,
               const View<const T>& b, const View<T>& output) {
    if (output.size() == 0) return;
    const Broadcast<T> problem = collapse(a, b, output);
    constexpr int width = full_width<T>;
    const bool in_packs = packs_fit<T>(problem.inner(), output.data) &&
                          reads_packs(problem.a, problem.rank) &&
                          reads_packs(problem.b, problem.rank);
    const std::int64_t packs = output.size() / (in_packs ? width : 1);
    launch(op, stream, threads_for(packs),
           in_packs ? broadcast_kernel<width, Function, T> : broadcast_kernel<1, Function, T>,
           function, problem, Extents(problem), packs, output.data);
}

template <Binary kind, class T>
void binary(Stream stream, const View<const T>& a, const View<const T>& b, const View<T>& output) {
    const char* const op = "binary_forward";
    if (same_shape(a, b))
        map(op, stream, BinaryValue<kind>{}, output.size(), output.data, a.data, b.data);
    else
        broadcast(op, stream, BinaryValue<kind>{}, a, b, output);
}

template <class T>
void binary_forward(Stream stream, const std::string& kind, View<const T> a, View<const T> b,
                    View<T> output) {
    const Binary operation = binary_kind(kind);
    check_broadcast(a, b, output);
    switch (operation) {
        case Binary::add: return binary<Binary::add>(stream, a, b, output);
        case Binary::sub: return binary<Binary::sub>(stream, a, b, output);
        case Binary::mul: return binary<Binary::mul>(stream, a, b, output);
        case Binary::div: return binary<Binary::div>(stream, a, b, output);
        case Binary::maximum: return binary<Binary::maximum>(stream, a, b, output);
        case Binary::minimum: return binary<Binary::minimum>(stream, a, b, output);
    }
}

template <class T>
void broadcast_to(Stream stream, View<const T> input, View<T> output, double scale) {
    check_expands(input, output);
    const float factor = static_cast<float>(scale);
    if (same_shape(input, output))
        return map("broadcast_to", stream, Scaled{factor}, output.size(), output.data, input.data);
    // The second operand is one number that nobody uses.
    broadcast("broadcast_to", stream, ScaledFirst{factor}, input, View<const T>{.data = input.data},
              output);
}

template <class T>
void fill(Stream stream, View<T> output, double value) {
    map("fill", stream, Constant{static_cast<float>(value)}, output.size(), output.data);
}

template <class From, class To>
void cast(Stream stream, View<const From> input, View<To> output) {
    check_same_shape("cast", "input", input, "output", output);
    map("cast", stream, Scaled{1.0f}, input.size(), output.data, input.data);
}

}  // namespace voxelgrad::cuda

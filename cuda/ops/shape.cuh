// Moving values without computing: concat, split, slice, pad; semantics as in cpp/ops/shape.hpp.
#pragma once

#include <vector>

#include "cuda/core/divisor.hpp"
#include "cuda/core/launch.hpp"
#include "cuda/core/pack.hpp"
#include "cuda/core/workspace.hpp"
#include "ops/pad_axis.hpp"
#include "ops/pieces.hpp"

namespace voxelgrad::cuda {

// A thread copies one pack; columns and both pitches are multiples of it.
template <int width, class T>
__global__ void copy_rows_kernel(Rows<const T> source, Rows<T> target, std::int64_t packs,
                                 WideDivisor packs_a_row) {
    const std::int64_t thread = std::int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (thread >= packs) return;
    const auto [row, pack] = packs_a_row.split(thread);
    const std::int64_t column = pack * width;
    *reinterpret_cast<Pack<T, width>*>(target.data + row * target.pitch + column) =
        load_pack<width>(source.data + row * source.pitch + column);
}

template <class T>
void copy_rows(const char* op, Stream stream, Rows<const T> source, Rows<T> target,
               std::int64_t rows, std::int64_t columns) {
    constexpr int width = full_width<T>;
    const bool in_packs = packs_fit<T>(columns, source.data, target.data) &&
                          source.pitch % width == 0 && target.pitch % width == 0;
    const std::int64_t packs_a_row = in_packs ? columns / width : columns;
    if (packs_a_row == 0) return;
    launch(op, stream, threads_for(rows * packs_a_row),
           in_packs ? copy_rows_kernel<width, T> : copy_rows_kernel<1, T>, source, target,
           rows * packs_a_row, WideDivisor(packs_a_row));
}

template <class T>
void concat(Stream stream, const std::vector<View<const T>>& inputs, View<T> output, int axis) {
    const auto pieces = pieces_of("concat", "input", "output", inputs, output, axis);
    const Rows<T> whole{output.data, output.count(axis, output.rank)};
    for (const Piece<const T>& piece : pieces)
        copy_rows("concat", stream, piece.rows, whole.at(0, piece.begin), output.count(0, axis),
                  piece.end - piece.begin);
}

template <class T>
void split(Stream stream, View<const T> input, const std::vector<View<T>>& outputs, int axis) {
    const auto pieces = pieces_of("split", "output", "input", outputs, input, axis);
    const Rows<const T> whole{input.data, input.count(axis, input.rank)};
    for (const Piece<T>& piece : pieces)
        copy_rows("split", stream, whole.at(0, piece.begin), piece.rows, input.count(0, axis),
                  piece.end - piece.begin);
}

// The axes of a padded or cut array, as kernels take them.
struct Padding {
    int rank = 0;
    PadAxis axis[max_rank];
    WideDivisor outer[max_rank];
    PadMode mode;

    Padding(const std::vector<PadAxis>& axes, PadMode how) : mode(how) {
        for (const PadAxis& one : merge_whole_axes(axes)) axis[rank++] = one;
        if (rank == 0) axis[rank++] = {1, 1, 0};
        for (int a = 0; a < rank; ++a) outer[a] = WideDivisor(axis[a].outer);
    }
};

// A thread writes one pack of the output. Packs are wider than one element only where the last axis
// is whole and a multiple of them.
template <int width, class T>
__global__ void pad_kernel(Padding padding, T value, const T* input, T* output,
                           std::int64_t packs) {
    const std::int64_t thread = std::int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (thread >= packs) return;
    std::int64_t rest = thread * width, position = 0, stride = 1;
    bool inside = true;
    for (int a = padding.rank - 1; a >= 0; --a) {
        const PadAxis& axis = padding.axis[a];
        const auto [next, place] = padding.outer[a].split(rest);
        const std::int64_t source = axis.source(place, padding.mode);
        inside = inside && source >= 0;
        position += source * stride;
        stride *= axis.inner;
        rest = next;
    }
    Pack<T, width> result;
    VOXELGRAD_UNROLL
    for (int i = 0; i < width; ++i) result.value[i] = value;
    if (inside) result = load_pack<width>(input + position);
    *reinterpret_cast<Pack<T, width>*>(output + thread * width) = result;
}

template <class T>
void copy_padded(const char* op, Stream stream, const Padding& padding, T value, const T* input,
                 const View<T>& output) {
    const PadAxis& last = padding.axis[padding.rank - 1];
    const bool in_packs = last.is_whole() && packs_fit<T>(last.outer, input, output.data);
    const std::int64_t packs = in_packs ? output.size() / full_width<T> : output.size();
    launch(op, stream, threads_for(packs),
           in_packs ? pad_kernel<full_width<T>, T> : pad_kernel<1, T>, padding, value, input,
           output.data, packs);
}

template <class T>
void slice_forward(Stream stream, View<const T> input, View<T> output, const Dims& start) {
    const Padding padding(slice_axes(input, output, start), PadMode::constant);
    copy_padded("slice_forward", stream, padding, T{}, input.data, output);
}

template <class T>
void pad_forward(Stream stream, View<const T> input, View<T> output, const Dims& before,
                 const std::string& mode, float value) {
    const PadMode how = pad_mode("pad_forward", mode);
    const Padding padding(pad_axes(input, output, before, how), how);
    copy_padded("pad_forward", stream, padding, rounded_to<T>(value), input.data, output);
}

// Along one axis every inner position gathers from the outer ones that show it: its own, and those
// in the borders. (lead, outer, trailing) -> (lead, inner, trailing).
template <class T>
__global__ void pad_gradient_kernel(PadAxis axis, PadMode mode, std::int64_t trailing,
                                    WideDivisor columns, WideDivisor places, const T* grad_outer,
                                    T* grad_inner, std::int64_t count) {
    const std::int64_t thread = std::int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (thread >= count) return;
    const auto [line, column] = columns.split(thread);
    const auto [lead, place] = places.split(line);
    const T* const from = grad_outer + lead * axis.outer * trailing + column;
    float total = 0.0f;
    const auto gather = [&](std::int64_t first, std::int64_t end, std::int64_t own) {
        for (std::int64_t i = first; i < end; ++i)
            if (axis.source(i, mode) == own) total += to_float(from[i * trailing]);
    };
    gather(0, axis.before, place);
    total += to_float(from[(axis.before + place) * trailing]);
    gather(axis.before + axis.inner, axis.outer, place);
    grad_inner[thread] = rounded_to<T>(total);
}

template <class T>
void pad_backward(Stream stream, View<const T> grad_output, View<T> grad_input, const Dims& before,
                  const std::string& mode) {
    const PadMode how = pad_mode("pad_backward", mode);
    if (how == PadMode::constant) return slice_forward(stream, grad_output, grad_input, before);
    const int last_padded = last_padded_axis(grad_output, grad_input, before);
    if (last_padded < 0) return slice_forward(stream, grad_output, grad_input, before);
    if (grad_input.size() == 0) return;

    // One axis after the other, through two workspaces in turn.
    const Workspace<T> even(grad_output.size()), odd(grad_output.size());
    const T* source = grad_output.data;
    T* target = even.data();
    for (int a = 0; a <= last_padded; ++a) {
        const PadAxis axis{grad_input[a], grad_output[a], before[a]};
        if (axis.is_whole()) continue;
        if (a == last_padded) target = grad_input.data;
        const std::int64_t trailing = grad_output.count(a + 1, grad_output.rank);
        const std::int64_t count = grad_input.count(0, a + 1) * trailing;
        launch("pad_backward", stream, threads_for(count), pad_gradient_kernel<T>, axis, how,
               trailing, WideDivisor(trailing), WideDivisor(axis.inner), source, target, count);
        source = target;
        target = target == even.data() ? odd.data() : even.data();
    }
}

}  // namespace voxelgrad::cuda

#include <utility>

#include "core/pool.hpp"
#include "ops/pad_axis.hpp"
#include "ops/shape.hpp"
#include "ops/window.hpp"

namespace voxelgrad {
namespace {

using std::int64_t;

// Every inner position gathers from all the outer ones that show it.
WindowAxis gather_axis(const PadAxis& axis, PadMode mode) {
    WindowAxis shown{axis.inner, {0}, {}};
    for (int64_t i = 0; i < axis.outer; ++i) {
        shown.add(axis.source(i, mode), 0, 1.0f);
        shown.finish_target();
    }
    return transposed(shown);
}

}  // namespace

template <class T>
void pad_backward(View<const T> grad_output, View<T> grad_input, const Dims& before,
                  const std::string& mode) {
    const PadMode how = pad_mode("pad_backward", mode);
    if (how == PadMode::constant) return slice_forward<T>(grad_output, grad_input, before);
    const int rank = grad_input.rank;
    const int last_padded = last_padded_axis(grad_output, grad_input, before);
    if (last_padded < 0) return slice_forward<T>(grad_output, grad_input, before);
    if (grad_input.size() == 0) return;

    // One axis after the other, through two workspaces in turn.
    Workspace<T> even(grad_output.size()), odd(grad_output.size());
    const T* source = grad_output.data;
    T* target = even.data();
    for (int a = 0; a <= last_padded; ++a) {
        const PadAxis axis{grad_input[a], grad_output[a], before[a]};
        if (axis.is_whole()) continue;
        if (a == last_padded) target = grad_input.data;
        window_sum(
            {grad_input.count(0, a), {gather_axis(axis, how)}, grad_output.count(a + 1, rank)},
            source, target);
        source = target;
        target = target == even.data() ? odd.data() : even.data();
    }
}

template void pad_backward(View<const float>, View<float>, const Dims&, const std::string&);
template void pad_backward(View<const bf16>, View<bf16>, const Dims&, const std::string&);

}  // namespace voxelgrad

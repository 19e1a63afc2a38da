#include "ops/softmax.hpp"

#include "core/check.hpp"
#include "core/parallel_for.hpp"
#include "core/pool.hpp"
#include "kernels/softmax.hpp"

namespace voxelgrad {

void softmax_forward(View<const float> input, View<float> output, bool log) {
    check_same_shape("softmax_forward", "input", input, "output", output);
    check(input.rank > 0, "softmax_forward: input is a single number; it needs a last axis");
    const std::int64_t rows = input.count(0, input.rank - 1), classes = input.last();
    if (input.size() == 0) return;
    const auto& kernels = softmax_kernels();
    parallel_for_ranges(rows, rows_per_chunk(classes), [&](std::int64_t begin, std::int64_t end) {
        const Workspace<float> tile(tile_size(classes));
        kernels.forward(input.data + begin * classes, output.data + begin * classes, end - begin,
                        classes, log, tile.data());
    });
}

void softmax_backward(View<const float> grad_output, View<const float> output,
                      View<float> grad_input, bool log) {
    check_same_shape("softmax_backward", "grad_output", grad_output, "output", output);
    check_same_shape("softmax_backward", "grad_output", grad_output, "grad_input", grad_input);
    check(output.rank > 0, "softmax_backward: output is a single number; it needs a last axis");
    const std::int64_t rows = output.count(0, output.rank - 1), classes = output.last();
    if (output.size() == 0) return;
    const auto& kernels = softmax_kernels();
    parallel_for_ranges(rows, rows_per_chunk(classes), [&](std::int64_t begin, std::int64_t end) {
        const Workspace<float> tiles(2 * tile_size(classes));
        const std::int64_t at = begin * classes;
        kernels.backward(grad_output.data + at, output.data + at, grad_input.data + at, end - begin,
                         classes, log, tiles.data());
    });
}

}  // namespace voxelgrad

#include "ops/linear_row.hpp"

#include <algorithm>

#include "core/parallel_for.hpp"
#include "core/pool.hpp"
#include "core/split.hpp"
#include "kernels/matrix_row.hpp"

namespace voxelgrad {
namespace {

constexpr std::int64_t task_size = 1 << 16;  // floats of the weight
constexpr std::int64_t most_chunks = 32;     // partial sums of grad_input

std::int64_t rows_of_task(std::int64_t k) {
    return std::max<std::int64_t>(1, task_size / std::max<std::int64_t>(k, 1));
}

}  // namespace

void linear_row_forward(const float* weight, std::int64_t n, std::int64_t k, const float* input,
                        const ConvEpilogue& epilogue, float* output) {
    parallel_for_ranges(n, rows_of_task(k), [&](std::int64_t begin, std::int64_t end) {
        matrix_row_kernels().dot(weight + begin * k, end - begin, k, input,
                                 epilogue.bias ? epilogue.bias + begin : nullptr, epilogue.slope,
                                 output + begin);
    });
}

// Chunks of rows are summed apart, and the sums added in order.
void linear_row_backward_data(const float* weight, std::int64_t n, std::int64_t k,
                              const float* grad_output, float* grad_input) {
    const std::int64_t grain = std::max(rows_of_task(k), divide_up(n, most_chunks));
    const std::int64_t chunks = divide_up(n, grain);
    Workspace<float> partial(chunks * k);
    parallel_for_ranges(n, grain, [&](std::int64_t begin, std::int64_t end) {
        matrix_row_kernels().add(weight + begin * k, end - begin, k, grad_output + begin,
                                 partial.data() + begin / grain * k);
    });
    std::fill_n(grad_input, k, 0.0f);
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk)
        for (std::int64_t c = 0; c < k; ++c) grad_input[c] += partial[chunk * k + c];
}

}  // namespace voxelgrad

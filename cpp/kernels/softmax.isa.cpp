#include "kernels/softmax.hpp"

#include "kernels/class_tile.hpp"

namespace voxelgrad::VOXELGRAD_ISA {
namespace {

[[gnu::always_inline]] inline void softmax_column(float* column, std::int64_t classes,
                                                  std::int64_t pitch) {
    const Vec shift = largest(column, classes, pitch);
    Vec total{};
    for (std::int64_t k = 0; k < classes; ++k) {
        const Vec e = exp(load(column + k * pitch) - shift);
        store(column + k * pitch, e);
        total += e;
    }
    const Vec scale = 1.0f / total;
    for (std::int64_t k = 0; k < classes; ++k)
        store(column + k * pitch, load(column + k * pitch) * scale);
}

[[gnu::always_inline]] inline void log_softmax_column(float* column, std::int64_t classes,
                                                      std::int64_t pitch) {
    const Vec shift = largest(column, classes, pitch);
    const Vec log_total = log(sum_of_exp(column, classes, pitch, shift));
    for (std::int64_t k = 0; k < classes; ++k)
        store(column + k * pitch, (load(column + k * pitch) - shift) - log_total);
}

void forward(const float* input, float* output, std::int64_t rows, std::int64_t classes, bool log,
             float* tile) {
    const std::int64_t pitch = tile_rows(classes);
    for (std::int64_t first = 0; first < rows; first += pitch) {
        const std::int64_t count = least(pitch, rows - first);
        load_tile(input + first * classes, count, classes, tile);
        for (std::int64_t row = 0; row < count; row += lanes) {
            if (log)
                log_softmax_column(tile + row, classes, pitch);
            else
                softmax_column(tile + row, classes, pitch);
        }
        store_tile(tile, count, classes, output + first * classes);
    }
}

// softmax: y * (g - sum(g * y)); its logarithm y: g - exp(y) * sum(g). Overwrites g.
[[gnu::always_inline]] inline void backward_column(float* grad, const float* output,
                                                   std::int64_t classes, std::int64_t pitch,
                                                   bool log) {
    Vec total{};
    for (std::int64_t k = 0; k < classes; ++k) {
        const Vec g = load(grad + k * pitch);
        total += log ? g : g * load(output + k * pitch);
    }
    for (std::int64_t k = 0; k < classes; ++k) {
        const Vec g = load(grad + k * pitch), y = load(output + k * pitch);
        store(grad + k * pitch, log ? g - exp(y) * total : y * (g - total));
    }
}

void backward(const float* grad_output, const float* output, float* grad_input, std::int64_t rows,
              std::int64_t classes, bool log, float* tile) {
    const std::int64_t pitch = tile_rows(classes);
    float* const output_tile = tile + tile_size(classes);
    for (std::int64_t first = 0; first < rows; first += pitch) {
        const std::int64_t count = least(pitch, rows - first);
        load_tile(grad_output + first * classes, count, classes, tile);
        load_tile(output + first * classes, count, classes, output_tile);
        for (std::int64_t row = 0; row < count; row += lanes)
            backward_column(tile + row, output_tile + row, classes, pitch, log);
        store_tile(tile, count, classes, grad_input + first * classes);
    }
}

}  // namespace

extern const SoftmaxKernels softmax = {forward, backward};

}  // namespace voxelgrad::VOXELGRAD_ISA

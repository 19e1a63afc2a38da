#include "ops/optim.hpp"

#include <atomic>

#include "core/check.hpp"
#include "core/parallel_for.hpp"
#include "kernels/optim.hpp"
#include "ops/optim_arguments.hpp"

namespace voxelgrad {
namespace {

constexpr std::int64_t grain = 1 << 15;  // elements a chunk

// Arrays of any sizes as one long row of elements, cut into chunks of `grain`.
class Concatenation {
 public:
    template <class T>
    explicit Concatenation(const std::vector<View<T>>& arrays) {
        ends_.reserve(arrays.size());
        for (const View<T>& array : arrays) ends_.push_back(total() + array.size());
    }

    std::int64_t total() const { return ends_.empty() ? 0 : ends_.back(); }
    std::int64_t chunks() const { return (total() + grain - 1) / grain; }

    // Calls body(array, offset, count, chunk) for the pieces of arrays that lie in each chunk.
    template <class Body>
    void for_each_piece(Body body) const {
        parallel_for(chunks(), [&](std::int64_t chunk) {
            std::int64_t at = chunk * grain;
            const std::int64_t end = std::min(at + grain, total());
            auto array_end = std::upper_bound(ends_.begin(), ends_.end(), at);
            for (; at < end; ++array_end) {
                const std::size_t array = static_cast<std::size_t>(array_end - ends_.begin());
                const std::int64_t begin = array == 0 ? 0 : ends_[array - 1];
                const std::int64_t stop = std::min(*array_end, end);
                body(array, at - begin, stop - at, chunk);
                at = stop;
            }
        });
    }

 private:
    std::vector<std::int64_t> ends_;
};

}  // namespace

void sgd_step(const Arrays& params, const ConstArrays& grads, const Arrays& buffers, double lr,
              double momentum, bool nesterov, double weight_decay) {
    check_match("sgd_step", params, "grads", grads);
    if (momentum != 0.0) check_match("sgd_step", params, "buffers", buffers);
    const SgdStep step{static_cast<float>(lr), static_cast<float>(momentum),
                       static_cast<float>(weight_decay), nesterov};
    const auto& kernels = optim_kernels();
    Concatenation(params).for_each_piece(
        [&](std::size_t i, std::int64_t at, std::int64_t count, std::int64_t) {
            float* const buffer = momentum != 0.0 ? buffers[i].data + at : nullptr;
            kernels.sgd(step, params[i].data + at, grads[i].data + at, buffer, count);
        });
}

void adam_step(const Arrays& params, const ConstArrays& grads, const Arrays& exp_avgs,
               const Arrays& exp_avg_sqs, double lr, double beta1, double beta2, double eps,
               double weight_decay, bool decoupled, std::int64_t step) {
    check_match("adam_step", params, "grads", grads);
    check_match("adam_step", params, "exp_avgs", exp_avgs);
    check_match("adam_step", params, "exp_avg_sqs", exp_avg_sqs);
    const AdamStep constants = adam_constants(lr, beta1, beta2, eps, weight_decay, decoupled, step);
    const auto& kernels = optim_kernels();
    Concatenation(params).for_each_piece(
        [&](std::size_t i, std::int64_t at, std::int64_t count, std::int64_t) {
            kernels.adam(constants, params[i].data + at, grads[i].data + at, exp_avgs[i].data + at,
                         exp_avg_sqs[i].data + at, count);
        });
}

double squared_norm(const ConstArrays& arrays) {
    const Concatenation all(arrays);
    std::vector<double> sums(static_cast<std::size_t>(all.chunks()), 0.0);
    const auto& kernels = optim_kernels();
    all.for_each_piece([&](std::size_t i, std::int64_t at, std::int64_t count, std::int64_t chunk) {
        sums[static_cast<std::size_t>(chunk)] += kernels.sum_of_squares(arrays[i].data + at, count);
    });
    double total = 0.0;
    for (const double sum : sums) total += sum;
    return total;
}

void scale_inplace(const Arrays& arrays, double factor) {
    const auto& kernels = optim_kernels();
    Concatenation(arrays).for_each_piece(
        [&](std::size_t i, std::int64_t at, std::int64_t count, std::int64_t) {
            kernels.scale(arrays[i].data + at, count, static_cast<float>(factor));
        });
}

bool all_finite(View<const float> array) {
    std::atomic<bool> finite{true};
    const auto& kernels = optim_kernels();
    parallel_for_ranges(array.size(), grain, [&](std::int64_t begin, std::int64_t end) {
        if (!finite.load(std::memory_order_relaxed)) return;
        if (!kernels.all_finite(array.data + begin, end - begin)) finite.store(false);
    });
    return finite.load();
}

}  // namespace voxelgrad

#include "kernels/reduce.hpp"

#include "kernels/wide.hpp"

namespace voxelgrad::VOXELGRAD_ISA {
namespace {

template <class T>
double sum_run(const T* input, std::int64_t count) {
    WideSum even, odd;  // independent sums hide the latency of the addition
    std::int64_t i = 0;
    for (; i + 2 * lanes <= count; i += 2 * lanes) {
        even.add(load_ahead(input + i, lanes));
        odd.add(load_ahead(input + i + lanes, lanes));
    }
    for (; i < count; i += lanes) even.add(load_some(input + i, count - i));
    return even.total() + odd.total();
}

template <class T>
void add_to(double* totals, const T* input, std::int64_t count) {
    std::int64_t i = 0;
    for (; i + lanes <= count; i += lanes) {
        const Vec v = load_ahead(input + i, lanes);
        HalfVec halves[2];
        std::memcpy(halves, &v, sizeof v);
        store_wide(totals + i, load_wide(totals + i) + widen(halves[0]));
        double* const upper = totals + i + wide_lanes;
        store_wide(upper, load_wide(upper) + widen(halves[1]));
    }
    for (; i < count; ++i) totals[i] += static_cast<double>(to_float(input[i]));
}

}  // namespace

extern const ReduceKernels<float> reduce_float = {sum_run<float>, add_to<float>};
extern const ReduceKernels<bf16> reduce_bf16 = {sum_run<bf16>, add_to<bf16>};

}  // namespace voxelgrad::VOXELGRAD_ISA

#include "kernels/arithmetic.hpp"

#include "kernels/simd.hpp"

namespace voxelgrad::VOXELGRAD_ISA {
namespace {

template <Binary kind>
[[gnu::always_inline]] inline Vec value(Vec a, Vec b) {
    if constexpr (kind == Binary::add) return a + b;
    if constexpr (kind == Binary::sub) return a - b;
    if constexpr (kind == Binary::mul) return a * b;
    if constexpr (kind == Binary::div) return a / b;
    // A comparison with NaN is false, so b wins when it is NaN; a needs a test of its own.
    if constexpr (kind == Binary::maximum) return (a > b) | (a != a) ? a : b;
    if constexpr (kind == Binary::minimum) return (a < b) | (a != a) ? a : b;
}

// A run of numbers, or one number spread over the lanes.
template <class T, bool is_run>
struct Operand {
    const T* data;
    Vec spread;

    explicit Operand(const T* p) : data(p), spread(splat(to_float(*p))) {}
    [[gnu::always_inline]] inline Vec at(std::int64_t i, int n) const {
        return is_run ? load_ahead(data + i, n) : spread;
    }
};

template <Binary kind, bool run_a, bool run_b, class T>
void loop(const T* a, const T* b, T* output, std::int64_t count, bool past_cache) {
    const Operand<T, run_a> left(a);
    const Operand<T, run_b> right(b);
    for_each_vector(count, [=](std::int64_t i, int n) __attribute__((always_inline)) {
        put_some(output + i, value<kind>(left.at(i, n), right.at(i, n)), n, past_cache);
    });
}

template <Binary kind, class T>
void run(const T* a, bool run_a, const T* b, bool run_b, T* output, std::int64_t count,
         bool past_cache) {
    if (run_a && run_b) return loop<kind, true, true>(a, b, output, count, past_cache);
    if (run_a) return loop<kind, true, false>(a, b, output, count, past_cache);
    if (run_b) return loop<kind, false, true>(a, b, output, count, past_cache);
    loop<kind, false, false>(a, b, output, count, past_cache);
}

template <class T>
void binary(Binary kind, const T* a, std::int64_t step_a, const T* b, std::int64_t step_b,
            T* output, std::int64_t count, bool past_cache) {
    const bool ra = step_a != 0, rb = step_b != 0;
    switch (kind) {
        case Binary::add: return run<Binary::add>(a, ra, b, rb, output, count, past_cache);
        case Binary::sub: return run<Binary::sub>(a, ra, b, rb, output, count, past_cache);
        case Binary::mul: return run<Binary::mul>(a, ra, b, rb, output, count, past_cache);
        case Binary::div: return run<Binary::div>(a, ra, b, rb, output, count, past_cache);
        case Binary::maximum: return run<Binary::maximum>(a, ra, b, rb, output, count, past_cache);
        case Binary::minimum: return run<Binary::minimum>(a, ra, b, rb, output, count, past_cache);
    }
}

template <bool is_run, class T>
void scale_loop(const T* input, float factor, T* output, std::int64_t count, bool past_cache) {
    const Operand<T, is_run> operand(input);
    for_each_vector(count, [=](std::int64_t i, int n) __attribute__((always_inline)) {
        put_some(output + i, operand.at(i, n) * factor, n, past_cache);
    });
}

template <class T>
void scale(const T* input, std::int64_t step, float factor, T* output, std::int64_t count,
           bool past_cache) {
    if (step != 0) return scale_loop<true>(input, factor, output, count, past_cache);
    scale_loop<false>(input, factor, output, count, past_cache);
}

}  // namespace

extern const ArithmeticKernels<float> arithmetic_float = {binary<float>, scale<float>};
extern const ArithmeticKernels<bf16> arithmetic_bf16 = {binary<bf16>, scale<bf16>};

}  // namespace voxelgrad::VOXELGRAD_ISA

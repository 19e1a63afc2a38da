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

// An operand that is one number is spread over the lanes once.
template <bool is_vector>
[[gnu::always_inline]] inline Vec operand(const float* p, std::int64_t i, Vec spread) {
    return is_vector ? load(p + i) : spread;
}

template <Binary kind, bool vector_a, bool vector_b>
void loop(const float* a, const float* b, float* output, std::int64_t count) {
    const Vec spread_a = splat(*a), spread_b = splat(*b);
    std::int64_t i = 0;
    for (; i + lanes <= count; i += lanes)
        store(output + i,
              value<kind>(operand<vector_a>(a, i, spread_a), operand<vector_b>(b, i, spread_b)));
    const int rest = static_cast<int>(count - i);
    if (rest == 0) return;
    const Vec last_a = vector_a ? load_first(a + i, rest) : spread_a;
    const Vec last_b = vector_b ? load_first(b + i, rest) : spread_b;
    store_first(output + i, value<kind>(last_a, last_b), rest);
}

template <Binary kind>
void run(const float* a, bool vector_a, const float* b, bool vector_b, float* output,
         std::int64_t count) {
    if (vector_a && vector_b) return loop<kind, true, true>(a, b, output, count);
    if (vector_a) return loop<kind, true, false>(a, b, output, count);
    if (vector_b) return loop<kind, false, true>(a, b, output, count);
    loop<kind, false, false>(a, b, output, count);
}

void binary(Binary kind, const float* a, std::int64_t step_a, const float* b, std::int64_t step_b,
            float* output, std::int64_t count) {
    const bool va = step_a != 0, vb = step_b != 0;
    switch (kind) {
        case Binary::add: return run<Binary::add>(a, va, b, vb, output, count);
        case Binary::sub: return run<Binary::sub>(a, va, b, vb, output, count);
        case Binary::mul: return run<Binary::mul>(a, va, b, vb, output, count);
        case Binary::div: return run<Binary::div>(a, va, b, vb, output, count);
        case Binary::maximum: return run<Binary::maximum>(a, va, b, vb, output, count);
        case Binary::minimum: return run<Binary::minimum>(a, va, b, vb, output, count);
    }
}

}  // namespace

extern const ArithmeticKernels arithmetic = {binary};

}  // namespace voxelgrad::VOXELGRAD_ISA

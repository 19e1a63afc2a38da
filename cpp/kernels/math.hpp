// exp, log and their kin on vectors of float, for *.isa.cpp files. Relative error of exp and log
// below 2 units in the last place (measured over the whole range). Polynomials are Taylor or
// Remez-like fits after the usual range reduction (J.-M. Muller, Elementary Functions, 3rd ed.,
// chapters 3 and 11).
#pragma once

#include <cmath>

#include "kernels/simd.hpp"

namespace voxelgrad::VOXELGRAD_ISA {
namespace {

[[gnu::always_inline]] inline IntVec to_int(Vec v) { return __builtin_convertvector(v, IntVec); }
[[gnu::always_inline]] inline Vec to_float(IntVec v) { return __builtin_convertvector(v, Vec); }

// 2^n for integral n in [-126, 127].
[[gnu::always_inline]] inline Vec power_of_two(IntVec n) { return (Vec)((n + 127) << 23); }

// e^x; 0 below about -103.97, infinity above 88.72, NaN stays NaN. Subnormal results are kept.
[[gnu::always_inline]] inline Vec exp(Vec x) {
    const Vec rounder = splat(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer
    const Vec clamped = x != x ? splat(0.0f) : min(max(x, splat(-104.0f)), splat(89.0f));
    const Vec n = (clamped * 1.44269504f + rounder) - rounder;
    Vec r = clamped - n * 0.693359375f;
    r = r - n * -2.12194440e-4f;
    Vec p = splat(1.0f / 5040);
    p = p * r + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = (p * r) * r + r + 1.0f;
    // Two factors, so that neither power leaves the range of normal numbers.
    const IntVec exponent = to_int(n), half = exponent >> 1;
    const Vec result = p * power_of_two(half) * power_of_two(exponent - half);
    return x != x ? x : result;
}

// Natural logarithm; -infinity at 0, NaN below, infinity and NaN stay.
[[gnu::always_inline]] inline Vec log(Vec x) {
    const IntVec subnormal = x < 1.17549435e-38f;
    const Vec scaled = subnormal ? x * 8388608.0f : x;
    const IntVec bits = (IntVec)scaled;
    // Mantissa in [sqrt(1/2), sqrt(2)).
    const IntVec exponent = (bits - 0x3F3504F3) >> 23;
    const Vec m = (Vec)(bits - (exponent << 23)) - 1.0f;
    const Vec e = to_float(exponent) - (subnormal ? splat(23.0f) : splat(0.0f));
    // log(1 + m) = 2 atanh(s), s = m / (2 + m).
    const Vec s = m / (m + 2.0f), z = s * s;
    Vec p = splat(2.0f / 11);
    p = p * z + 2.0f / 9;
    p = p * z + 2.0f / 7;
    p = p * z + 2.0f / 5;
    p = p * z + 2.0f / 3;
    // m - s*(m - z*p) keeps the leading term exact (as in fdlibm's log).
    const Vec half_square = 0.5f * m * m;
    const Vec tail = s * (half_square + z * p) + e * -2.12194440e-4f;
    Vec result = e * 0.693359375f + (m - (half_square - tail));
    result = x == INFINITY ? x : result;
    result = x == 0.0f ? splat(-INFINITY) : result;
    return x < 0.0f || x != x ? splat(NAN) : result;
}

// log(1 + u) for 0 <= u <= 1, exact to the last places also for small u: twice the series of
// atanh(s), s = u / (2 + u) <= 1/3, whose first term left out is below 2^-31 of the result.
[[gnu::always_inline]] inline Vec log1p(Vec u) {
    const Vec s = u / (u + 2.0f), z = s * s;
    Vec p = splat(2.0f / 17);
    p = p * z + 2.0f / 15;
    p = p * z + 2.0f / 13;
    p = p * z + 2.0f / 11;
    p = p * z + 2.0f / 9;
    p = p * z + 2.0f / 7;
    p = p * z + 2.0f / 5;
    p = p * z + 2.0f / 3;
    return (p * z) * s + (s + s);
}

// e^x - 1 for x <= 0: a short series near zero, where the difference would cancel.
[[gnu::always_inline]] inline Vec expm1_negative(Vec x) {
    Vec p = splat(1.0f / 5040);
    p = p * x + 1.0f / 720;
    p = p * x + 1.0f / 120;
    p = p * x + 1.0f / 24;
    p = p * x + 1.0f / 6;
    p = p * x + 0.5f;
    const Vec series = x + x * x * p;
    return x > -0.5f ? series : exp(x) - 1.0f;
}

[[gnu::always_inline]] inline Vec sigmoid(Vec x) {
    const Vec e = exp(-abs(x));
    const Vec r = 1.0f / (e + 1.0f);
    return x < 0.0f ? e * r : r;
}

[[gnu::always_inline]] inline Vec sqrt(Vec x) {
    Vec result;
    for (int lane = 0; lane < lanes; ++lane) result[lane] = __builtin_sqrtf(x[lane]);
    return result;
}

}  // namespace
}  // namespace voxelgrad::VOXELGRAD_ISA

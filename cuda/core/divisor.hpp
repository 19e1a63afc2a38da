// Division by a number that stays the same: a multiplication and a shift. Dividing 64-bit integers
// takes a device some hundred instructions.
#pragma once

#include <cstdint>

#include "cuda/core/platform.hpp"

namespace voxelgrad::cuda {

// Of numbers below 2^31. With 2^(shift - 1) < divisor <= 2^shift the quotient of n is
// n (1 + (2^shift / divisor - 1)) / 2^shift, where the factor in brackets is rounded up to 32
// binary digits (Granlund and Montgomery, "Division by Invariant Integers using Multiplication",
// 1994).
class Divisor {
 public:
    Divisor() = default;  // not set: for shared memory
    // 0 counts as 1: of what there is none of, nothing is asked.
    __device__ __host__ constexpr explicit Divisor(int divisor)
        : divisor_(divisor > 0 ? divisor : 1), shift_(0), factor_(0) {
        const auto wide = static_cast<std::uint64_t>(divisor_);
        while (std::uint64_t{1} << shift_ < wide) ++shift_;
        const std::uint64_t excess = (std::uint64_t{1} << shift_) - wide;
        factor_ = static_cast<unsigned>((excess << 32) / wide + 1);
    }

    // The quotient of `number`, which becomes the remainder.
    __device__ int split(int& number) const {
        const auto n = static_cast<unsigned>(number);
        const auto quotient = static_cast<int>((__umulhi(n, factor_) + n) >> shift_);
        number -= quotient * divisor_;
        return quotient;
    }

 private:
    int divisor_, shift_;
    unsigned factor_;
};

// Of any numbers that are not negative: those below 2^31 are divided as above.
class WideDivisor {
 public:
    WideDivisor() : WideDivisor(1) {}
    // 0 counts as 1.
    explicit WideDivisor(std::int64_t divisor)
        : divisor_(divisor > 0 ? divisor : 1),
          narrow_(divisor_ >> 31 == 0 ? static_cast<int>(divisor_) : 0) {}

    struct Split {
        std::int64_t quotient, rest;
    };
    __device__ Split split(std::int64_t number) const {
        if ((number | divisor_) >> 31 == 0) {
            int rest = static_cast<int>(number);
            const int quotient = narrow_.split(rest);
            return {quotient, rest};
        }
        const std::int64_t quotient = number / divisor_;
        return {quotient, number - quotient * divisor_};
    }

 private:
    std::int64_t divisor_;
    Divisor narrow_;
};

}  // namespace voxelgrad::cuda

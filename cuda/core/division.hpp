// Division by numbers that the host knows. Dividing 64-bit integers takes a device some hundred
// instructions; a multiplication does where the dividend has 31 bits (T. Granlund, P. L.
// Montgomery, Division by invariant integers using multiplication, 1994).
#pragma once

#include <bit>
#include <cstdint>

#include "cuda/core/platform.hpp"

namespace voxelgrad::cuda {

class Divider {
 public:
    Divider() : Divider(1) {}
    // divisor > 0.
    explicit Divider(std::int64_t divisor) : divisor_(divisor) {
        if (divisor >> 31 != 0) return;
        const auto d = static_cast<std::uint64_t>(divisor);
        shift_ = std::bit_width(d - 1);
        multiplier_ =
            static_cast<std::uint32_t>((((std::uint64_t{1} << shift_) - d) << 32) / d + 1);
    }

    struct Split {
        std::int64_t quotient, rest;
    };
    // Of a number that is not negative.
    __device__ Split split(std::int64_t number) const {
        std::int64_t quotient;
        if (number >> 31 == 0 && multiplier_ != 0) {
            const auto n = static_cast<std::uint32_t>(number);
            quotient = (__umulhi(multiplier_, n) + n) >> shift_;
        } else {
            quotient = number / divisor_;
        }
        return {quotient, number - quotient * divisor_};
    }

 private:
    std::int64_t divisor_;
    std::uint32_t multiplier_ = 0;  // 0: only division does
    int shift_ = 0;
};

}  // namespace voxelgrad::cuda

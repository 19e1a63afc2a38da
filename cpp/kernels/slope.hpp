// The activation that convolutions apply as they write, for *.isa.cpp files.
#pragma once

#include "kernels/simd.hpp"

namespace voxelgrad::VOXELGRAD_ISA {
namespace {

// x where it is not negative, slope * x elsewhere: the bits of relu (slope 0) and leaky_relu.
class Slope {
 public:
    explicit Slope(float slope) : slope_(splat(slope)), kept_(BitVec{} - (slope != 0.0f)) {}

    // Minus infinity times 0 would not be a number, so a slope of 0 clears the product.
    [[gnu::always_inline]] Vec operator()(Vec x) const {
        return x < 0.0f ? (Vec)((BitVec)(slope_ * x) & kept_) : x;
    }

 private:
    Vec slope_;
    BitVec kept_;
};

}  // namespace
}  // namespace voxelgrad::VOXELGRAD_ISA

#include "kernels/copy.hpp"

#include "kernels/simd.hpp"

namespace voxelgrad::VOXELGRAD_ISA {
namespace {

void past_cache(const float* input, float* output, std::int64_t count) {
    for (std::int64_t i = 0; i < count; i += lanes) stream(output + i, load(input + i));
}

void fence() { stream_fence(); }

}  // namespace

extern const CopyKernels copy = {past_cache, fence};

}  // namespace voxelgrad::VOXELGRAD_ISA

#include "kernels/cast.hpp"

#include "kernels/simd.hpp"

namespace voxelgrad::VOXELGRAD_ISA {
namespace {

template <class From, class To>
void convert(const From* input, To* output, std::int64_t count, bool past_cache) {
    for_each_vector(count, [=](std::int64_t i, int n) __attribute__((always_inline)) {
        put_some(output + i, load_ahead(input + i, n), n, past_cache);
    });
    if (past_cache) stream_fence();
}

}  // namespace

extern const CastKernels cast = {convert<float, bf16>, convert<bf16, float>};

}  // namespace voxelgrad::VOXELGRAD_ISA

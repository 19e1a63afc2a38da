#include "kernels/cast.hpp"

#include "kernels/simd.hpp"

namespace voxelgrad::VOXELGRAD_ISA {
namespace {

template <class From, class To>
void convert(const From* input, To* output, std::int64_t count, bool past_cache) {
    if (past_cache) {
        for (std::int64_t i = 0; i < count; i += lanes) stream(output + i, load(input + i));
        return stream_fence();
    }
    for_each_vector(count, [=](std::int64_t i, int n) {
        store_some(output + i, load_some(input + i, n), n);
    });
}

}  // namespace

extern const CastKernels cast = {convert<float, bf16>, convert<bf16, float>};

}  // namespace voxelgrad::VOXELGRAD_ISA

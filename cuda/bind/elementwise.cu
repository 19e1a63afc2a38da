// Activations, arithmetic, sums, dropout, formats.
#include "cuda/bind/families.hpp"
#include "cuda/ops/activation.cuh"
#include "cuda/ops/arithmetic.cuh"
#include "cuda/ops/dropout.cuh"
#include "cuda/ops/reduce.cuh"

namespace voxelgrad::cuda {
namespace {

using namespace pybind11::literals;

// What images of float32 and of bfloat16 run through; the type of the arrays decides.
template <class T>
void define_images(pybind11::module_& m) {
    def(m, "activation_forward", activation_forward<T>, "kind"_a, "input"_a, "output"_a, "alpha"_a);
    def(m, "activation_backward", activation_backward<T>, "kind"_a, "grad_output"_a, "saved"_a,
        "grad_input"_a, "alpha"_a);
    def(m, "clip_forward", clip_forward<T>, "input"_a, "output"_a, "low"_a, "high"_a);
    def(m, "clip_backward", clip_backward<T>, "grad_output"_a, "input"_a, "grad_input"_a, "low"_a,
        "high"_a);
    def(m, "binary_forward", binary_forward<T>, "kind"_a, "a"_a, "b"_a, "output"_a);
    def(m, "broadcast_to", broadcast_to<T>, "input"_a, "output"_a, "scale"_a);
    def(m, "fill", fill<T>, "output"_a, "value"_a);
    def(m, "dropout", dropout<T>, "input"_a, "output"_a, "p"_a, "seed"_a);
    def(m, "dropout_by_stored_seed", dropout_by_stored_seed<T>, "input"_a, "output"_a, "p"_a,
        "seeds"_a, "place"_a);
    def(m, "reduce_sum", reduce_sum<T, T>, "input"_a, "output"_a, "scale"_a);
}

}  // namespace

void define_elementwise(pybind11::module_& m) {
    define_images<float>(m);
    define_images<bf16>(m);
    def(m, "write_seeds", write_seeds, "seeds"_a, "values"_a);
    def(m, "reduce_sum", reduce_sum<bf16, float>, "input"_a, "output"_a, "scale"_a);
    def(m, "cast", cast<float, bf16>, "input"_a, "output"_a);
    def(m, "cast", cast<bf16, float>, "input"_a, "output"_a);
}

}  // namespace voxelgrad::cuda

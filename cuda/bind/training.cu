// What trains: optimizer steps, measures of gradients, augmentation.
#include "cuda/bind/families.hpp"
#include "cuda/ops/augment.cuh"
#include "cuda/ops/optim.cuh"

namespace voxelgrad::cuda {

using namespace pybind11::literals;

void define_training(pybind11::module_& m) {
    def(m, "sgd_step", sgd_step, "params"_a, "grads"_a, "buffers"_a, "lr"_a, "momentum"_a,
        "nesterov"_a, "weight_decay"_a);
    def(m, "adam_step", adam_step, "params"_a, "grads"_a, "exp_avgs"_a, "exp_avg_sqs"_a, "lr"_a,
        "beta1"_a, "beta2"_a, "eps"_a, "weight_decay"_a, "decoupled"_a, "step"_a);
    def(m, "scale_inplace", scale_inplace, "arrays"_a, "factor"_a);
    def(m, "square_totals", square_totals, "arrays"_a, "totals"_a);
    def(m, "resample_linear", resample_linear, "image"_a, "output"_a, "matrix"_a, "offset"_a,
        "displacement"_a, "fill"_a);
    def(m, "resample_nearest", resample_nearest, "mask"_a, "output"_a, "matrix"_a, "offset"_a,
        "displacement"_a, "fill"_a);
    def(m, "add_gaussian_noise", add_gaussian_noise, "image"_a, "output"_a, "std"_a, "seed"_a);
    def(m, "adjust_intensity", adjust_intensity, "image"_a, "output"_a, "low"_a, "high"_a,
        "gamma"_a, "scale"_a, "shift"_a);
}

}  // namespace voxelgrad::cuda

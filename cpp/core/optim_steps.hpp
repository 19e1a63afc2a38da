// The numbers of an optimizer's step, as kernels take them.
#pragma once

namespace voxelgrad {

struct SgdStep {
    float lr, momentum, weight_decay;
    bool nesterov;
};

struct AdamStep {
    float beta1, one_minus_beta1, beta2, one_minus_beta2;
    float step_size;           // lr / (1 - beta1^step)
    float inverse_correction;  // 1 / sqrt(1 - beta2^step)
    float eps;
    float l2;    // added to the gradient, times the parameter
    float keep;  // what decoupled weight decay leaves of the parameter
};

}  // namespace voxelgrad

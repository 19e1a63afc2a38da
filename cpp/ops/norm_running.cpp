#include <algorithm>
#include <cmath>

#include "ops/norm.hpp"
#include "ops/norm_problem.hpp"

namespace voxelgrad {
namespace {

template <class Statistic>
void follow(Statistic& running, double rate, double value) {
    running = static_cast<Statistic>((1.0 - rate) * static_cast<double>(running) + rate * value);
}

}  // namespace

template <class Statistic>
void batch_norm_update(View<const float> mean, View<const float> invstd,
                       View<Statistic> running_mean, View<Statistic> running_var,
                       std::int64_t count, double momentum, double eps) {
    constexpr const char* op = "batch_norm_update";
    check_statistics(op, mean, invstd, running_mean, running_var);
    check_count(op, count);
    const double unbiased = static_cast<double>(count) / static_cast<double>(count - 1);
    for (std::int64_t c = 0; c < mean.size(); ++c) {
        const double inverse = invstd.data[c];
        const double variance = std::max(1.0 / (inverse * inverse) - eps, 0.0);
        follow(running_mean.data[c], momentum, mean.data[c]);
        follow(running_var.data[c], momentum, unbiased * variance);
    }
}

template <class Statistic>
void batch_norm_statistics(View<const Statistic> running_mean, View<const Statistic> running_var,
                           View<float> mean, View<float> invstd, double eps) {
    constexpr const char* op = "batch_norm_statistics";
    check_statistics(op, mean, invstd, running_mean, running_var);
    for (std::int64_t c = 0; c < mean.size(); ++c) {
        const double variance = running_var.data[c];
        mean.data[c] = static_cast<float>(running_mean.data[c]);
        invstd.data[c] = static_cast<float>(1.0 / std::sqrt(variance + eps));
    }
}

template void batch_norm_statistics(View<const float>, View<const float>, View<float>, View<float>,
                                    double);
template void batch_norm_statistics(View<const double>, View<const double>, View<float>,
                                    View<float>, double);
template void batch_norm_update(View<const float>, View<const float>, View<float>, View<float>,
                                std::int64_t, double, double);
template void batch_norm_update(View<const float>, View<const float>, View<double>, View<double>,
                                std::int64_t, double, double);

}  // namespace voxelgrad

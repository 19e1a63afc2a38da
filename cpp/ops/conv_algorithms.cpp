#include "ops/conv_algorithms.hpp"

#include <atomic>
#include <cstdlib>
#include <string_view>

#include "core/check.hpp"

namespace voxelgrad {
namespace {

template <class T>
struct List;

template <>
struct List<float> {
    static constexpr const ConvAlgorithm* algorithms[] = {
        &conv_depthwise, &conv_head,      &conv_thin,   &conv_winograd, &conv_winograd4,
        &conv_winograd5, &conv_winograd6, &conv_direct, &conv_naive};
};

template <>
struct List<bf16> {
    static constexpr const ConvAlgorithmFor<bf16>* algorithms[] = {
        &conv_head_bf16,      &conv_winograd_bf16, &conv_winograd4_bf16, &conv_winograd5_bf16,
        &conv_winograd6_bf16, &conv_thin_bf16,     &conv_tile,           &conv_widened};
};

template <class T>
const ConvAlgorithmFor<T>* algorithm_named(std::string_view name) {
    for (const auto* algorithm : List<T>::algorithms)
        if (name == algorithm->name) return algorithm;
    return nullptr;
}

// The name that was asked for, kept by the algorithm that has it; null lets the lists decide.
const char* known_name(std::string_view name) {
    if (name.empty()) return nullptr;
    if (const auto* algorithm = algorithm_named<float>(name)) return algorithm->name;
    if (const auto* algorithm = algorithm_named<bf16>(name)) return algorithm->name;
    fail("convolution algorithm '", name,
         "' is unknown; choose depthwise, head, winograd, winograd4, winograd5, winograd6, thin, "
         "direct or naive, for bfloat16 head, winograd, winograd4, winograd5, winograd6, thin, "
         "tile or "
         "widened");
}

const char* name_in_environment() {
    const char* name = std::getenv("VOXELGRAD_CONV");
    return name == nullptr ? nullptr : known_name(name);
}

std::atomic<const char*>& forced() {
    static std::atomic<const char*> name{name_in_environment()};
    return name;
}

}  // namespace

void force_conv_algorithm(const char* name) { forced().store(known_name(name)); }

template <class T>
const ConvAlgorithmFor<T>& choose_conv_algorithm(const ConvGeometry& geometry) {
    const char* name = forced().load();
    if (const auto* wanted = name ? algorithm_named<T>(name) : nullptr) {
        check(wanted->accepts(geometry), "convolution: the algorithm '", wanted->name,
              "' was asked for but does not accept this case");
        return *wanted;
    }
    for (const auto* algorithm : List<T>::algorithms)
        if (algorithm->accepts(geometry) && algorithm->worthwhile(geometry)) return *algorithm;
    fail("convolution: no algorithm accepts this case");
}

template const ConvAlgorithmFor<float>& choose_conv_algorithm(const ConvGeometry&);
template const ConvAlgorithmFor<bf16>& choose_conv_algorithm(const ConvGeometry&);

}  // namespace voxelgrad

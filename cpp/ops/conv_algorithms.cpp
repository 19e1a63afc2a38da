#include "ops/conv_algorithms.hpp"

#include <atomic>
#include <cstdlib>
#include <string_view>

#include "core/check.hpp"

namespace voxelgrad {
namespace {

constexpr const ConvAlgorithm* algorithms[] = {&conv_depthwise, &conv_winograd, &conv_direct,
                                               &conv_naive};

const ConvAlgorithm* algorithm_named(std::string_view name) {
    for (const ConvAlgorithm* algorithm : algorithms)
        if (name == algorithm->name) return algorithm;
    fail("convolution algorithm '", name,
         "' is unknown; choose depthwise, winograd, direct or naive");
}

const ConvAlgorithm* forced_by_environment() {
    const char* name = std::getenv("VOXELGRAD_CONV");
    return name != nullptr && *name != '\0' ? algorithm_named(name) : nullptr;
}

std::atomic<const ConvAlgorithm*>& forced() {
    static std::atomic<const ConvAlgorithm*> algorithm{forced_by_environment()};
    return algorithm;
}

}  // namespace

void force_conv_algorithm(const char* name) {
    forced().store(*name == '\0' ? nullptr : algorithm_named(name));
}

const ConvAlgorithm& choose_conv_algorithm(const ConvGeometry& geometry) {
    if (const ConvAlgorithm* wanted = forced().load()) {
        check(wanted->accepts(geometry), "convolution: the algorithm '", wanted->name,
              "' was asked for but does not accept this case");
        return *wanted;
    }
    for (const ConvAlgorithm* algorithm : algorithms)
        if (algorithm->accepts(geometry) && algorithm->worthwhile(geometry)) return *algorithm;
    fail("convolution: no algorithm accepts this case");
}

}  // namespace voxelgrad

// Which kernel multiplies on tensor cores: wgmma.cuh where the device and the build have it,
// mma.cuh elsewhere, or the one that is asked for by name.
#pragma once

#include <cstdlib>
#include <string_view>

#include "cuda/ops/wgmma.cuh"

namespace voxelgrad::cuda {

enum class Products { of_device, mma, wgmma };

inline Products products_named(std::string_view name) {
    if (name.empty()) return Products::of_device;
    if (name == "mma") return Products::mma;
    if (name == "wgmma") return Products::wgmma;
    fail("products on tensor cores '", name, "' are unknown; choose mma or wgmma");
}

// VOXELGRAD_CUDA_PRODUCTS=<name>, or the last call of force_products; "" lets the device decide.
inline Products& forced_products() {
    static Products forced = [] {
        const char* const name = std::getenv("VOXELGRAD_CUDA_PRODUCTS");
        return products_named(name ? name : "");
    }();
    return forced;
}

inline void force_products(Stream, const std::string& name) {
    forced_products() = products_named(name);
}

// Whether the current device does products by warpgroups, and the module has code for it: where a
// kernel was compiled without its body, it has no shared variables.
inline bool has_wgmma([[maybe_unused]] const char* op) {
#if defined(__CUDACC__)
    thread_local int known = -1;
    thread_local bool has = false;
    int device = 0;
    check_cuda(op, cudaGetDevice(&device));
    if (device == known) return has;
    cudaFuncAttributes kernel{};
    using Pass = WeightPass<bf16>;
    check_cuda(op, cudaFuncGetAttributes(
                       &kernel, wgmma_kernel<WgmmaTile<128, 128>, Pass, NoWeightTiles<Pass>>));
    known = device;
    return has = kernel.sharedSizeBytes > 0;
#else
    return emulation::is_hopper;
#endif
}

inline bool uses_wgmma(const char* op) {
    const Products forced = forced_products();
    if (forced == Products::mma) return false;
    const bool has = has_wgmma(op);
    check(
        has || forced == Products::of_device, op,
        ": products by wgmma were asked for, which needs a device of compute capability 9.0 and a "
        "module built for 90a; ask for mma, or for none by name");
    return has;
}

}  // namespace voxelgrad::cuda

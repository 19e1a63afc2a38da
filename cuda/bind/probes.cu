// The device's limits, which `voxelgrad bench` times.
#include "cuda/bind/families.hpp"
#include "cuda/ops/probes.cuh"

namespace voxelgrad::cuda {

using namespace pybind11::literals;

void define_probes(pybind11::module_& m) {
    def(m, "run_fma", run_fma, "rounds"_a, "output"_a);
    def(m, "run_products", run_products, "kind"_a, "rounds"_a, "output"_a);
    def(m, "has_warpgroups", has_warpgroups);
    def(m, "run_bandwidth", run_bandwidth, "kind"_a, "a"_a, "b"_a, "output"_a, "rounds"_a);
}

}  // namespace voxelgrad::cuda

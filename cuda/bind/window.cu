// What gathers from windows: pooling, interpolation, resampling.
#include "cuda/bind/families.hpp"
#include "cuda/ops/interpolate.cuh"
#include "cuda/ops/pool.cuh"

namespace py = pybind11;

namespace voxelgrad::cuda {
namespace {

using namespace pybind11::literals;

template <class Element>
using HostList = py::array_t<Element, py::array::c_style>;

template <class Element>
std::vector<View<const Element>> views_of(const std::vector<HostList<Element>>& lists) {
    std::vector<View<const Element>> views;
    for (const auto& list : lists) {
        if (list.ndim() != 1) fail("resample: a table has ", list.ndim(), " axes instead of one");
        views.push_back({.data = list.data(), .rank = 1, .shape = {list.shape(0)}});
    }
    return views;
}

template <class T>
void resample_from_host(Stream stream, View<const T> input, View<T> output,
                        const std::vector<HostList<std::int32_t>>& starts,
                        const std::vector<HostList<std::int32_t>>& positions,
                        const std::vector<HostList<float>>& weights) {
    resample(stream, input, output, views_of(starts), views_of(positions), views_of(weights));
}

// The type of the indices, uint8 or int32, decides.
template <class T, class Index>
void define_max_pool(py::module_& m) {
    def(m, "max_pool_forward", max_pool_forward<T, Index>, "input"_a, "output"_a, "indices"_a,
        "kernel_size"_a, "stride"_a, "padding"_a);
    def(m, "max_pool_backward", max_pool_backward<T, Index>, "grad_output"_a, "indices"_a,
        "grad_input"_a, "kernel_size"_a, "stride"_a, "padding"_a);
}

template <class T>
void define_images(py::module_& m) {
    define_max_pool<T, std::uint8_t>(m);
    define_max_pool<T, std::int32_t>(m);
    def(m, "avg_pool_forward", avg_pool_forward<T>, "input"_a, "output"_a, "kernel_size"_a,
        "stride"_a, "padding"_a, "count_include_pad"_a);
    def(m, "avg_pool_backward", avg_pool_backward<T>, "grad_output"_a, "grad_input"_a,
        "kernel_size"_a, "stride"_a, "padding"_a, "count_include_pad"_a);
    def(m, "adaptive_avg_pool_forward", adaptive_avg_pool_forward<T>, "input"_a, "output"_a);
    def(m, "adaptive_avg_pool_backward", adaptive_avg_pool_backward<T>, "grad_output"_a,
        "grad_input"_a);
    def(m, "interpolate_forward", interpolate_forward<T>, "input"_a, "output"_a, "mode"_a,
        "align_corners"_a);
    def(m, "interpolate_backward", interpolate_backward<T>, "grad_output"_a, "grad_input"_a,
        "mode"_a, "align_corners"_a);
    def(m, "resample", resample_from_host<T>, "input"_a, "output"_a, "starts"_a, "positions"_a,
        "weights"_a);
}

}  // namespace

void define_window(py::module_& m) {
    define_images<float>(m);
    define_images<bf16>(m);
}

}  // namespace voxelgrad::cuda

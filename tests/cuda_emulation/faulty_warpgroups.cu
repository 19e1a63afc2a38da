// A product of a warpgroup as it must be done, and with one fault each: the emulation's tests.
#include <pybind11/pybind11.h>

#include "cuda/core/launch.hpp"
#include "cuda/core/warpgroup.hpp"

namespace voxelgrad::cuda {
namespace {

enum class Fault {
    none,
    copies_not_awaited,
    not_shown,
    not_fenced,
    no_batch,
    not_awaited,
    overwritten,
    sums_touched,
    one_warp_less,
    another_operand,
    off_pattern,
    landing_not_started,
    nothing_lands,
};

struct FaultyOperands {
    alignas(operand_alignment) bf16 a[64 * operand_line];
    alignas(operand_alignment) bf16 b[32 * operand_line];
};

__device__ void copy_lines(bf16* lines, int count, const float* from) {
    for (int i = static_cast<int>(threadIdx.x); i < count * 8; i += 128)
        copy_later(lines + i * 8, from);
}

// All elements of A and B are the first eight numbers of the array in bfloat16, so that each sum is
// twice the sum of their squares.
template <Fault fault>
__global__ void multiplies(float* array) {
    auto& operands = *dynamic_shared<FaultyOperands>();
    VOXELGRAD_SHARED(landing, Landing);
    const unsigned thread = threadIdx.x;
    if (fault != Fault::landing_not_started && thread == 0) start_landing(landing);
    __syncthreads();
    if (fault != Fault::nothing_lands && thread == 0) land_later(operands.b, array, 16, landing);
    wait_for_landing(landing, 0);
    copy_lines(operands.a, 64, array);
    copy_lines(operands.b, 32, array);
    end_batch();
    wait_for_batches<fault == Fault::copies_not_awaited ? 1 : 0>();
    if (fault != Fault::not_shown) show_to_products();
    __syncthreads();
    float sums[1][4][4] = {};
    if (fault != Fault::not_fenced) begin_products();
    const unsigned off = (fault == Fault::off_pattern ? 128 : 0) +
                         (fault == Fault::another_operand && thread == 77 ? 32 : 0);
    const std::uint64_t a = operand_descriptor(shared_address(operands.a) + off, 16, 1024);
    const std::uint64_t b = operand_descriptor(shared_address(operands.b), 16, 1024);
    if (fault != Fault::one_warp_less || thread / 32 != 2)
        multiply_add_later<false, false>(sums[0], a, b);
    if (fault == Fault::sums_touched) sums[0][0][0] = 0.0f;
    if (fault == Fault::sums_touched) multiply_add_later<false, false>(sums[0], a, b);
    if (fault != Fault::no_batch) end_products();
    if (fault == Fault::overwritten && thread == 127) operands.b[8] = to_bf16(9.0f);
    if (fault != Fault::not_awaited) wait_for_products(sums);
    if (thread < 8) array[thread] = sums[0][0][0];
}

struct Case {
    const char* name;
    void (*kernel)(float*);
};

constexpr Case cases[] = {
    {"none", multiplies<Fault::none>},
    {"copies_not_awaited", multiplies<Fault::copies_not_awaited>},
    {"not_shown", multiplies<Fault::not_shown>},
    {"not_fenced", multiplies<Fault::not_fenced>},
    {"no_batch", multiplies<Fault::no_batch>},
    {"not_awaited", multiplies<Fault::not_awaited>},
    {"overwritten", multiplies<Fault::overwritten>},
    {"sums_touched", multiplies<Fault::sums_touched>},
    {"one_warp_less", multiplies<Fault::one_warp_less>},
    {"another_operand", multiplies<Fault::another_operand>},
    {"off_pattern", multiplies<Fault::off_pattern>},
    {"landing_not_started", multiplies<Fault::landing_not_started>},
    {"nothing_lands", multiplies<Fault::nothing_lands>},
};

}  // namespace

// Runs the product with this fault on an array of 8 floats, which gets some of the sums.
void define_faulty_warpgroups(pybind11::module_& m) {
    m.def("run_faulty_warpgroup", [](const std::string& name, std::uintptr_t address) {
        for (const Case& one : cases)
            if (name == one.name)
                launch(one.name, nullptr, {dim3(1), dim3(128), sizeof(FaultyOperands)}, one.kernel,
                       reinterpret_cast<float*>(address));
    });
    m.def("operand_address", emulation::operand_address);
}

}  // namespace voxelgrad::cuda

// Which vector instructions this process uses, decided at run time by cpuid and XGETBV.
//
// VOXELGRAD_ISA=baseline|avx2|avx512|avx512_bf16|amx caps the choice. The last two differ from
// avx512 in the products of bfloat16 alone; every level includes the ones before it.
#pragma once

#include <string>
#include <vector>

namespace voxelgrad {

enum class Isa { baseline, avx2, avx512, avx512_bf16, amx };

Isa active_isa();                                // what kernels run with
void set_isa(const std::string& name);           // for tests: throws when the processor lacks it
std::string isa_name();                          // of the active one
std::vector<std::string> supported_isa_names();  // what this processor can run, lowest first

}  // namespace voxelgrad

// Which vector instructions this process uses, decided at run time by cpuid and XGETBV.
//
// VOXELGRAD_ISA=baseline|avx2|avx512 caps the choice.
#pragma once

#include <string>
#include <vector>

namespace voxelgrad {

enum class Isa { baseline, avx2, avx512 };

Isa active_isa();                                // what kernels run with
void set_isa(const std::string& name);           // for tests: throws when the processor lacks it
std::string isa_name();                          // of the active one
std::vector<std::string> supported_isa_names();  // what this processor can run, lowest first

}  // namespace voxelgrad

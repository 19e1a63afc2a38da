// What the processor says of itself (x86-64).
#pragma once

#if defined(__x86_64__)
#include <cpuid.h>

namespace voxelgrad {

struct ProcessorRegisters {
    unsigned a = 0, b = 0, c = 0, d = 0;
};

inline ProcessorRegisters cpuid(unsigned leaf, unsigned subleaf = 0) {
    ProcessorRegisters r;
    __get_cpuid_count(leaf, subleaf, &r.a, &r.b, &r.c, &r.d);
    return r;
}

constexpr bool has_bit(unsigned reg, int bit) { return (reg >> bit) & 1u; }

// The registers that the operating system saves: bit 1 SSE, 2 AVX, 5 to 7 AVX-512, 17 and 18 tiles.
inline unsigned saved_registers() {
    if (!has_bit(cpuid(1).c, 27)) return 0;
    unsigned low, high;
    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

}  // namespace voxelgrad
#endif

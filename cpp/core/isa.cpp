#include "core/isa.hpp"

#include <atomic>
#include <cstdlib>

#include "core/check.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace voxelgrad {
namespace {

constexpr const char* names[] = {"baseline", "avx2", "avx512", "avx512_bf16", "amx"};
constexpr int levels = 5;

#if defined(__x86_64__)
struct Registers {
    unsigned a = 0, b = 0, c = 0, d = 0;
};

Registers cpuid(unsigned leaf, unsigned subleaf = 0) {
    Registers r;
    __get_cpuid_count(leaf, subleaf, &r.a, &r.b, &r.c, &r.d);
    return r;
}

bool has(unsigned reg, int bit) { return (reg >> bit) & 1u; }

// The registers that the operating system saves: bit 1 SSE, 2 AVX, 5 to 7 AVX-512, 17 and 18 tiles.
unsigned saved_registers() {
    if (!has(cpuid(1).c, 27)) return 0;
    unsigned low, high;
    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

// Linux gives a process its tile registers when it asks for them.
bool tiles_are_permitted() {
#if defined(__linux__)
    constexpr long request_permission = 0x1023, tile_data = 18;
    return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#else
    return false;
#endif
}

Isa detect() {
    const Registers basic = cpuid(1), extended = cpuid(7);
    const unsigned saved = saved_registers();
    const bool f16c_fma = has(basic.c, 12) && has(basic.c, 29);
    if (!f16c_fma || !has(extended.b, 5) || (saved & 0x6) != 0x6) return Isa::baseline;
    const bool f_dq_bw_vl =
        has(extended.b, 16) && has(extended.b, 17) && has(extended.b, 30) && has(extended.b, 31);
    if (!f_dq_bw_vl || (saved & 0xE6) != 0xE6) return Isa::avx2;
    if (!has(cpuid(7, 1).a, 5)) return Isa::avx512;
    const bool tiles = has(extended.d, 22) && has(extended.d, 24) && (saved & 0x60000) == 0x60000;
    return tiles && tiles_are_permitted() ? Isa::amx : Isa::avx512_bf16;
}
#else
Isa detect() { return Isa::baseline; }
#endif

Isa supported() {
    static const Isa level = detect();
    return level;
}

int level_of(const std::string& name) {
    for (int level = 0; level < levels; ++level)
        if (name == names[level]) return level;
    fail("instruction set '", name,
         "' is unknown; choose baseline, avx2, avx512, avx512_bf16 or amx");
}

Isa initial() {
    const char* cap = std::getenv("VOXELGRAD_ISA");
    if (cap == nullptr || *cap == '\0') return supported();
    const int wanted = level_of(cap);
    return wanted < static_cast<int>(supported()) ? static_cast<Isa>(wanted) : supported();
}

std::atomic<int> chosen{-1};

}  // namespace

Isa active_isa() {
    int level = chosen.load(std::memory_order_relaxed);
    if (level < 0) {
        level = static_cast<int>(initial());
        chosen.store(level);
    }
    return static_cast<Isa>(level);
}

void set_isa(const std::string& name) {
    const int level = level_of(name);
    check(level <= static_cast<int>(supported()), "set_isa: this processor has no ", name);
    chosen.store(level);
}

std::string isa_name() { return names[static_cast<int>(active_isa())]; }

std::vector<std::string> supported_isa_names() {
    return {names, names + static_cast<int>(supported()) + 1};
}

}  // namespace voxelgrad

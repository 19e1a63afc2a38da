#include "core/isa.hpp"

#include <atomic>
#include <cstdlib>

#include "core/check.hpp"
#include "core/processor.hpp"
#include "core/tile_registers.hpp"

namespace voxelgrad {
namespace {

constexpr const char* names[] = {"baseline", "avx2", "avx512", "avx512_bf16", "amx"};
constexpr int levels = 5;

#if defined(__x86_64__)
Isa detect() {
    const ProcessorRegisters basic = cpuid(1), extended = cpuid(7);
    const unsigned saved = saved_registers();
    const bool f16c_fma = has_bit(basic.c, 12) && has_bit(basic.c, 29);
    if (!f16c_fma || !has_bit(extended.b, 5) || (saved & 0x6) != 0x6) return Isa::baseline;
    const bool f_dq_bw_vl = has_bit(extended.b, 16) && has_bit(extended.b, 17) &&
                            has_bit(extended.b, 30) && has_bit(extended.b, 31);
    if (!f_dq_bw_vl || (saved & 0xE6) != 0xE6) return Isa::avx2;
    if (!has_bit(cpuid(7, 1).a, 5)) return Isa::avx512;
    return may_use_tile_registers() ? Isa::amx : Isa::avx512_bf16;
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

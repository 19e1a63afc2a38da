// In a file of its own: the emulation of AMX that tests run (tests/amx_emulation) has another.
#include "core/tile_registers.hpp"

#include "core/processor.hpp"

#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace voxelgrad {

#if defined(__x86_64__) && defined(__linux__)
bool may_use_tile_registers() {
    // Linux gives a process its tile registers when it asks for them.
    constexpr long request_permission = 0x1023, tile_data = 18;
    constexpr unsigned tiles = 0x60000;
    const ProcessorRegisters extended = cpuid(7);
    return has_bit(extended.d, 22) && has_bit(extended.d, 24) &&
           (saved_registers() & tiles) == tiles &&
           syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
}
#else
bool may_use_tile_registers() { return false; }
#endif

}  // namespace voxelgrad

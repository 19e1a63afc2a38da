// What a device does while its threads go on, for the emulation: copies into shared memory, and
// products of warpgroups. Each is done as late as it may be, at the wait for it, and until then
// what it writes is NaN; so a wait that is missing, or a copy over what is still read, shows.
#pragma once

#include <cstddef>
#include <cstdint>

#include "emulation.hpp"

namespace emulation {

// cp.async of 16 bytes; null: zeros. Products see what it wrote after fence_for_products of the
// thread that began it.
void begin_copy(void* shared, const void* from, const Location& where);
void end_copies();               // a batch
void wait_for_copies(int left);  // batches
void fence_for_products();

// mbarriers of one arrival a phase, which says how many bytes a bulk copy will bring.
void start_landing(void* barrier);
void begin_landing(void* shared, const void* from, std::size_t bytes, void* barrier,
                   const Location& where);
void wait_for_landing(void* barrier, unsigned phase, const Location& where);

// The 16 bytes of shared memory that a product reads at an address.
const unsigned char* read_by_product(std::size_t address, const Location& where);

// wgmma.mma_async of 64 x columns x 16 elements of bfloat16: the operands' descriptors, and whether
// their lines run across the steps. `sums`: the columns / 2 of the calling thread.
struct Operands {
    std::uint64_t a, b;
    bool a_across, b_across;
    int columns;
    bool operator==(const Operands&) const = default;
};
void begin_products();
void multiply_later(const Operands& operands, float* sums, const Location& where);
void end_products();  // a batch
void wait_for_products(const Location& where);

// Where the run of 16 bytes begins that holds an element of an operand; a run is eight steps of a
// lane (a row or a column of the result), or eight lanes if lines run across the steps.
std::size_t operand_address(std::uint64_t descriptor, bool across, int lane, int step);

}  // namespace emulation

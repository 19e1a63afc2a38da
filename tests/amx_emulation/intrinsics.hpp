// The intrinsics of AMX that kernels/tile.isa.cpp uses, computed without it.
//
// What that proves: that operands lie where the instructions look for them, that tiles are
// configured before they are used and hold what the kernel means them to. Not: how the processor
// rounds its sums, or any speed. A use that the processor would answer with a fault ends the
// process with a line that says which.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace emulated_amx {

void load_configuration(const void* configuration);
void release();
void zero(int tile);
// Rows lie `stride` bytes apart.
void load(int tile, const void* data, std::int64_t stride);
void store(int tile, void* data, std::int64_t stride);
// sums += left * right: pairs of bfloat16, those of `right` from two rows that lie interleaved.
void multiply_bf16(int sums, int left, int right);

}  // namespace emulated_amx

#undef _tile_loadconfig
#undef _tile_release
#undef _tile_zero
#undef _tile_loadd
#undef _tile_stored
#undef _tile_dpbf16ps
#define _tile_loadconfig emulated_amx::load_configuration
#define _tile_release emulated_amx::release
#define _tile_zero emulated_amx::zero
#define _tile_loadd emulated_amx::load
#define _tile_stored emulated_amx::store
#define _tile_dpbf16ps emulated_amx::multiply_bf16

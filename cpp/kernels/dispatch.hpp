// One table of kernels per instruction set.
//
// A kernel file NAME.isa.cpp is compiled once per level, with VOXELGRAD_ISA set to the level's
// name. It keeps everything in an anonymous namespace inside namespace VOXELGRAD_ISA (the same
// template compiled for AVX-512 must never be linked into the baseline) and defines one constant:
// its table. The header NAME.hpp declares the table's type and names it here; NAME_kernels() is
// then the table of the active level.
#pragma once

#include "core/isa.hpp"

#if defined(__x86_64__)
#define VOXELGRAD_KERNEL_TABLE(Table, name)        \
    namespace baseline {                           \
    extern const Table name;                       \
    }                                              \
    namespace avx2 {                               \
    extern const Table name;                       \
    }                                              \
    namespace avx512 {                             \
    extern const Table name;                       \
    }                                              \
    inline const Table& name##_kernels() {         \
        switch (active_isa()) {                    \
            case Isa::avx512: return avx512::name; \
            case Isa::avx2: return avx2::name;     \
            default: return baseline::name;        \
        }                                          \
    }
#else
#define VOXELGRAD_KERNEL_TABLE(Table, name) \
    namespace baseline {                    \
    extern const Table name;                \
    }                                       \
    inline const Table& name##_kernels() { return baseline::name; }
#endif

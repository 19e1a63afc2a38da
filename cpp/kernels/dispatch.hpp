// One table of kernels per instruction set.
//
// A kernel file NAME.isa.cpp is compiled once per level, with VOXELGRAD_ISA set to the level's
// name. It keeps everything in an anonymous namespace inside namespace VOXELGRAD_ISA (the same
// template compiled for AVX-512 must never be linked into the baseline) and defines one constant:
// its table. The header NAME.hpp declares the table's type and names it here; NAME_kernels() is
// then the table of the active level.
#pragma once

#include <type_traits>

#include "core/bf16.hpp"
#include "core/isa.hpp"

#if defined(__x86_64__)
#define VOXELGRAD_KERNEL_TABLE(Table, name)                    \
    namespace baseline {                                       \
    extern const Table name;                                   \
    }                                                          \
    namespace avx2 {                                           \
    extern const Table name;                                   \
    }                                                          \
    namespace avx512 {                                         \
    extern const Table name;                                   \
    }                                                          \
    inline const Table& name##_kernels() {                     \
        const Isa isa = active_isa();                          \
        if (isa >= Isa::avx512) return avx512::name;           \
        return isa == Isa::avx2 ? avx2::name : baseline::name; \
    }
// For a kernel file that is compiled for the instruction sets of bfloat16 products as well.
#define VOXELGRAD_BF16_KERNEL_TABLE(Table, name)                               \
    VOXELGRAD_KERNEL_TABLE(Table, name)                                        \
    namespace avx512_bf16 {                                                    \
    extern const Table name;                                                   \
    }                                                                          \
    namespace amx {                                                            \
    extern const Table name;                                                   \
    }                                                                          \
    inline const Table& name##_bf16_product_kernels() {                        \
        const Isa isa = active_isa();                                          \
        if (isa == Isa::amx) return amx::name;                                 \
        return isa == Isa::avx512_bf16 ? avx512_bf16::name : name##_kernels(); \
    }
#else
#define VOXELGRAD_KERNEL_TABLE(Table, name) \
    namespace baseline {                    \
    extern const Table name;                \
    }                                       \
    inline const Table& name##_kernels() { return baseline::name; }
#define VOXELGRAD_BF16_KERNEL_TABLE(Table, name) \
    VOXELGRAD_KERNEL_TABLE(Table, name)          \
    inline const Table& name##_bf16_product_kernels() { return baseline::name; }
#endif

// Two tables, NAME_float and NAME_bf16, for kernels that are templates over the type of the arrays;
// name_kernels<T>() is the active one for T. Table is a template over T as well.
#define VOXELGRAD_TYPED_KERNEL_TABLES(Table, name)     \
    VOXELGRAD_KERNEL_TABLE(Table<float>, name##_float) \
    VOXELGRAD_KERNEL_TABLE(Table<bf16>, name##_bf16)   \
    template <class T>                                 \
    const Table<T>& name##_kernels() {                 \
        if constexpr (std::is_same_v<T, bf16>)         \
            return name##_bf16_kernels();              \
        else                                           \
            return name##_float_kernels();             \
    }

// The functions of cuda/core/warpgroup.hpp for the emulation (asynchronous.hpp).
#pragma once

#include "asynchronous.hpp"

namespace voxelgrad::cuda {

inline unsigned shared_address(const void* shared) {
    return static_cast<unsigned>(emulation::shared_offset(shared));
}

struct Landing {
    std::uint64_t state;
};

inline void start_landing(Landing& landing) { emulation::start_landing(&landing); }
inline void land_later(void* shared, const void* from, unsigned bytes, Landing& landing,
                       emulation::Location where = emulation::Location::current()) {
    emulation::begin_landing(shared, from, bytes, &landing, where);
}
inline void wait_for_landing(Landing& landing, unsigned phase,
                             emulation::Location where = emulation::Location::current()) {
    emulation::wait_for_landing(&landing, phase, where);
}

inline void show_to_products() { emulation::fence_for_products(); }
inline void begin_products() { emulation::begin_products(); }
inline void end_products() { emulation::end_products(); }

template <int products, int blocks>
void wait_for_products(float (&)[products][blocks][4],
                       emulation::Location where = emulation::Location::current()) {
    emulation::wait_for_products(where);
}

template <bool a_across, bool b_across, int blocks>
void multiply_add_later(float (&c)[blocks][4], std::uint64_t a, std::uint64_t b,
                        emulation::Location where = emulation::Location::current()) {
    emulation::multiply_later({a, b, a_across, b_across, blocks * 8}, &c[0][0], where);
}

}  // namespace voxelgrad::cuda

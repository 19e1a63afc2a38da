#pragma once

namespace voxelgrad {

// Whether this process may use AMX and its products of bfloat16. Asks the system for it.
bool may_use_tile_registers();

}  // namespace voxelgrad

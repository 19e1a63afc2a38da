// Weighted sums over windows that overlap, of an image into a smaller one: over the columns first,
// then over rows, then over planes, so that a row of the source is read and summed once for all the
// rows of the target that need it.
#pragma once

#include "ops/window.hpp"

namespace voxelgrad {

// As window_sum, where this is faster than taking each target pixel by itself: returns whether.
template <class T>
bool reduce_windows(const WindowPlan& plan, const T* source, T* target);

}  // namespace voxelgrad

"""The native backend: kernels in C++, for every instruction set and number of threads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike, NDArray

from voxelgrad._cpu import *  # noqa: F403
from voxelgrad._cpu import _empty


def empty(shape: Sequence[int], dtype: DTypeLike = np.float32) -> NDArray[np.generic]:
    """Return an uninitialised array of ``shape`` from the caching pool."""
    return _empty(shape, np.dtype(dtype))


def zeros(shape: Sequence[int], dtype: DTypeLike = np.float32) -> NDArray[np.generic]:
    """Return an array of zeros from the caching pool."""
    array = empty(shape, dtype)
    array.fill(0)
    return array

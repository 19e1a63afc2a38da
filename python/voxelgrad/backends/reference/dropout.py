"""Dropout with a counter-based generator: element i's fate depends on the seed and i alone."""

from __future__ import annotations

import numpy as np

from voxelgrad.backends.reference._common import Array, float64

_GOLDEN = 0x9E3779B97F4A7C15
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


def _uniform(seed: int, count: int) -> Array:
    """Return ``count`` numbers in [0, 1), two from each splitmix64 of seed + (i + 1) * golden.

    The upper 24 bits of its lower half make the first, those of its upper half the second.

    Source: G. L. Steele, D. Lea, C. H. Flood, Fast splittable pseudorandom number generators, 2014.
    """
    counter = np.arange(1, (count + 1) // 2 + 1, dtype=np.uint64)
    z = np.uint64(seed % 2**64) + counter * np.uint64(_GOLDEN)
    z = (z ^ (z >> np.uint64(30))) * _FIRST
    z = (z ^ (z >> np.uint64(27))) * _SECOND
    z = z ^ (z >> np.uint64(31))
    halves = np.stack([z & np.uint64(2**32 - 1), z >> np.uint64(32)], axis=1)
    result: Array = (halves >> np.uint64(8)).astype(np.float64) * 2.0**-24
    return result.reshape(-1)[:count]


def dropout(input: Array, output: Array, p: float, seed: int) -> None:
    """Write 0 with probability ``p``, else ``input / (1 - p)``; the backward pass is the same."""
    kept = (_uniform(seed, input.size) >= p).reshape(input.shape)
    scale = 1.0 / (1.0 - p) if p < 1.0 else 0.0
    output[...] = np.where(kept, float64(input) * scale, 0.0)

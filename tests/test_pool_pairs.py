"""Max-pooling over windows of two columns that do not overlap, which has kernels of its own."""

from __future__ import annotations

import numpy as np
import pytest

from instruction_sets import VECTOR, forced
from voxelgrad.backends import cpu, reference

SHAPES = [(2, 6, 14), (1, 5, 7), (3, 2, 2), (2, 3, 4, 10), (1, 31)]
CHANNELS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 40]


@pytest.mark.parametrize("isa", VECTOR)
@pytest.mark.parametrize("index", [np.uint8, np.int32])
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_pairs_are_those_of_the_reference(
    shape: tuple[int, ...], channels: int, index: type[np.generic], isa: str
) -> None:
    """Few different numbers make ties; some are NaN, some windows are all minus infinity."""
    rng = np.random.default_rng(channels)
    batch, *spatial = shape
    window = ([2] * len(spatial), [2] * len(spatial), [0] * len(spatial))
    choices = np.array([-np.inf, -np.inf, -1, 0, 2, np.nan], np.float32)
    image = rng.choice(choices, (*shape, channels))
    pooled = (batch, *(length // 2 for length in spatial), channels)
    grad = rng.integers(-9, 9, pooled).astype(np.float32)
    results = []
    for backend in (cpu, reference):
        output, indices = np.empty(pooled, np.float32), np.empty(pooled, index)
        grad_image = np.empty_like(image)
        with forced("", isa):
            backend.max_pool_forward(image, output, indices, *window)
            backend.max_pool_backward(grad, indices, grad_image, *window)
        results.append((output, indices, grad_image))
    for ours, expected in zip(*results, strict=True):
        np.testing.assert_array_equal(ours, expected)

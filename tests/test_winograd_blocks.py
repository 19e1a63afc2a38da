"""Winograd convolution cuts its tiles into blocks: no result depends on where the cuts fall.

With many channels the tiles go through memory in batches, and the sums of the weight gradient are
continued from batch to batch; these shapes need two.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import DTypeLike, NDArray

from instruction_sets import VECTOR
from voxelgrad.backends import cpu
from winograd_bounds import FORMS

Array = NDArray[np.float32]
IMAGES, SIZE, CHANNELS = 5, 60, 256
ONE = (1, 1)


@pytest.fixture(
    params=[(isa, form) for isa in VECTOR for form in FORMS],
    ids=lambda pair: "-".join(pair),
    autouse=True,
)
def winograd(request: pytest.FixtureRequest) -> Iterator[None]:
    before = cpu.isa_name()
    isa, form = request.param
    cpu.set_isa(isa)
    cpu.set_conv_algorithm(form)
    yield
    cpu.set_conv_algorithm("")
    cpu.set_isa(before)


def normal(*shape: int) -> Array:
    return np.random.default_rng(11).standard_normal(shape, np.float32)


def weight_gradient(images: Array, grad: Array) -> Array:
    result = np.empty((CHANNELS, 3, 3, CHANNELS), np.float32)
    cpu.conv_backward_weight(grad, images, result, None, ONE, ONE, ONE, 1)
    return result


def test_an_image_does_not_depend_on_its_neighbours_in_the_batch() -> None:
    images, weight = normal(IMAGES, SIZE, SIZE, CHANNELS), normal(CHANNELS, 3, 3, CHANNELS)
    together, alone = np.empty_like(images), np.empty_like(images[:1])
    for run in (
        lambda x, y: cpu.conv_forward(x, weight, None, y, ONE, ONE, ONE, 1, 1.0),
        lambda x, y: cpu.conv_backward_data(x, weight, y, ONE, ONE, ONE, 1),
    ):
        run(images, together)
        for i in (0, IMAGES // 2, IMAGES - 1):
            run(images[i : i + 1], alone)
            np.testing.assert_array_equal(together[i], alone[0])


def placed(shape: tuple[int, ...], dtype: DTypeLike, offset: int) -> NDArray[Any]:
    """Return an array whose data lie `offset` numbers after a cache line."""
    dtype = np.dtype(dtype)
    memory = np.empty(np.prod(shape) * dtype.itemsize + 256, np.uint8)
    start = -memory.ctypes.data % 64 + offset * dtype.itemsize
    return memory[start : start + np.prod(shape) * dtype.itemsize].view(dtype).reshape(shape)


@pytest.mark.parametrize(
    ("dtype", "shape", "channels"),
    [
        (np.float32, (IMAGES, SIZE, SIZE, CHANNELS), CHANNELS),
        (ml_dtypes.bfloat16, (2, 240, 240, 16), 96),  # a cache line is two vectors or four
    ],
)
def test_where_a_result_lies_does_not_change_a_bit(
    dtype: DTypeLike, shape: tuple[int, ...], channels: int
) -> None:
    """Large results go past the cache where they are aligned to cache lines, otherwise not."""
    images, weight = normal(*shape).astype(dtype), normal(channels, 3, 3, shape[-1])
    aligned, shifted = (placed((*shape[:-1], channels), dtype, offset) for offset in (0, 1))
    for result in (aligned, shifted):
        cpu.conv_forward(images, weight, None, result, ONE, ONE, ONE, 1, 1.0)
    np.testing.assert_array_equal(aligned, shifted)


def test_channels_do_not_depend_on_those_that_are_computed_with_them() -> None:
    """Slices are transformed in depth once for two panels of target channels; here are three."""
    images, weight = normal(1, 12, 60, 60, 16), normal(70, 3, 3, 3, 16)
    together = np.empty((1, 12, 60, 60, 70), np.float32)
    one = (1, 1, 1)
    cpu.conv_forward(images, weight, None, together, one, one, one, 1, 1.0)
    for some in (slice(0, 16), slice(16, 48), slice(64, 70)):
        alone = np.empty_like(together[..., some])
        cpu.conv_forward(images, weight[some], None, alone, one, one, one, 1, 1.0)
        np.testing.assert_array_equal(together[..., some], alone)


@pytest.mark.parametrize("image", [0, IMAGES // 2, IMAGES - 1])
def test_every_image_reaches_the_weight_gradient(image: int) -> None:
    """One pixel of one tile: all other products are zero, so the sums are the same bit for bit."""
    images = np.zeros((IMAGES, SIZE, SIZE, CHANNELS), np.float32)
    grad = normal(IMAGES, SIZE, SIZE, CHANNELS)
    images[image, 14, 21] = normal(CHANNELS)
    alone = weight_gradient(images[image : image + 1], grad[image : image + 1])
    assert np.count_nonzero(alone) == alone.size
    np.testing.assert_array_equal(weight_gradient(images, grad), alone)

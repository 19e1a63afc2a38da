"""Results larger than the caches are written past them: the same values as numpy's, on every level.

Moved values must be equal bit for bit; sums over windows hold small integers, so they are exact.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from instruction_sets import VECTOR
from voxelgrad.backends import cpu

Array = NDArray[np.float32]
SHAPE = (2, 210, 320, 32)  # 4.3 million values, just above what counts as large


@pytest.fixture(params=VECTOR, autouse=True)
def instruction_set(request: pytest.FixtureRequest) -> Iterator[None]:
    before = cpu.isa_name()
    cpu.set_isa(request.param)
    yield
    cpu.set_isa(before)


def integers(shape: tuple[int, ...]) -> Array:
    array = np.asarray(cpu.empty(shape, np.float32), np.float32)
    array[...] = np.random.default_rng(3).integers(-99, 99, shape)
    return array


def empty(*shape: int) -> Array:
    return np.asarray(cpu.empty(shape, np.float32), np.float32)


def test_pooling_and_its_backward_pass() -> None:
    gradient = integers((2, 105, 160, 32))
    indices = np.random.default_rng(4).integers(0, 4, gradient.shape).astype(np.uint8)
    spread = empty(*SHAPE)
    cpu.max_pool_backward(gradient, indices, spread, (2, 2), (2, 2), (0, 0))
    windows = spread.reshape(2, 105, 2, 160, 2, 32)
    for place in range(4):
        expected = np.where(indices == place, gradient, 0)
        np.testing.assert_array_equal(windows[:, :, place // 2, :, place % 2], expected)
    cpu.avg_pool_backward(gradient, spread, (2, 2), (2, 2), (0, 0), True)
    np.testing.assert_array_equal(spread, gradient.repeat(2, 1).repeat(2, 2) / 4)


def test_nearest_interpolation() -> None:
    image, output = integers((2, 105, 160, 32)), empty(*SHAPE)
    cpu.interpolate_forward(image, output, "nearest", False)
    np.testing.assert_array_equal(output, image.repeat(2, 1).repeat(2, 2))


@pytest.mark.parametrize("channels", [(16, 32), (5, 27)])
def test_concat_and_slice(channels: tuple[int, int]) -> None:
    parts = [integers((*SHAPE[:-1], count)) for count in channels]
    joined = empty(*SHAPE[:-1], sum(channels))
    cpu.concat(parts, joined, 3)
    np.testing.assert_array_equal(joined, np.concatenate(parts, axis=3))
    second = empty(*parts[1].shape)
    cpu.slice_forward(joined, second, (0, 0, 0, channels[0]))
    np.testing.assert_array_equal(second, parts[1])


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge"])
def test_pad(mode: str) -> None:
    image, output = integers(SHAPE), empty(2, 213, 323, 32)
    cpu.pad_forward(image, output, (0, 1, 2, 0), mode, 0.0)
    expected = np.pad(image, ((0, 0), (1, 2), (2, 1), (0, 0)), mode=mode)  # type: ignore[call-overload]
    np.testing.assert_array_equal(output, expected)


@pytest.mark.parametrize("axes", [(0, 3, 1, 2), (2, 0, 3, 1), (3, 2, 1, 0), (1, 0, 2, 3)])
def test_transpose(axes: tuple[int, ...]) -> None:
    image = integers(SHAPE)
    output = empty(*(SHAPE[axis] for axis in axes))
    cpu.transpose(image, output, axes)
    np.testing.assert_array_equal(output, image.transpose(axes))


def test_batch_norm_of_values_far_from_zero() -> None:
    image = integers(SHAPE) / np.float32(100) + np.float32(1000)
    output, mean, invstd = empty(*SHAPE), empty(32), empty(32)
    cpu.batch_norm_forward(image, None, None, output, mean, invstd, 1e-5, "identity", 0.0)
    exact = image.astype(np.float64)
    variance = exact.var(axis=(0, 1, 2))
    np.testing.assert_allclose(invstd, 1 / np.sqrt(variance + 1e-5), rtol=2**-22)
    # The mean is rounded to float32: half a unit in its last place is 2^-15 at 1000.
    expected = (exact - exact.mean(axis=(0, 1, 2))) * invstd
    np.testing.assert_allclose(output, expected, rtol=2**-21, atol=2**-15 * invstd.max() * 1.01)

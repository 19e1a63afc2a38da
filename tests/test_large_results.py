"""Results larger than the caches are written past them: the same values as numpy's, on every level.

Moved values must be equal bit for bit; sums over windows hold small integers, so they are exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

from instruction_sets import VECTOR
from voxelgrad.backends import cpu

Array = NDArray[Any]
SIZE = (210, 320, 32)  # of an image


@dataclass(frozen=True)
class Images:
    """Arrays of one format: with ``batch`` images of SIZE they are just above what is large."""

    dtype: Any
    batch: int

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.batch, *SIZE)

    def integers(self, shape: tuple[int, ...]) -> Array:
        array = self.empty(*shape)
        array[...] = np.random.default_rng(3).integers(-99, 99, shape)
        return array

    def empty(self, *shape: int) -> Array:
        return np.asarray(cpu.empty(shape, self.dtype))


FLOAT32, BFLOAT16 = Images(np.float32, 2), Images(ml_dtypes.bfloat16, 4)


@pytest.fixture(params=VECTOR, autouse=True)
def instruction_set(request: pytest.FixtureRequest) -> Iterator[None]:
    before = cpu.isa_name()
    cpu.set_isa(request.param)
    yield
    cpu.set_isa(before)


@pytest.fixture(params=[FLOAT32, BFLOAT16], ids=["float32", "bfloat16"])
def images(request: pytest.FixtureRequest) -> Images:
    return request.param


def test_maxima_and_their_places(images: Images) -> None:
    windows = images.integers((images.batch, 210, 2, 320, 2, 32))
    windows[0, 0, :, 0, :, 0] = [[1, np.nan], [2, np.nan]]  # the first NaN wins
    windows[-1, -1, :, -1, :, -1] = [[-np.inf, -np.inf], [np.inf, np.inf]]
    maxima = images.empty(*images.shape)
    places = np.asarray(cpu.empty(images.shape, np.dtype(np.uint8)))
    image = windows.reshape(images.batch, 420, 640, 32)
    cpu.max_pool_forward(image, maxima, places, (2, 2), (2, 2), (0, 0))
    by_place = windows.transpose(0, 1, 3, 5, 2, 4).reshape(*images.shape, 4).astype(np.float32)
    np.testing.assert_array_equal(places, by_place.argmax(-1))
    np.testing.assert_array_equal(maxima.astype(np.float32), by_place.max(-1))


def test_pooling_and_its_backward_pass(images: Images) -> None:
    gradient = images.integers((images.batch, 105, 160, 32))
    indices = np.random.default_rng(4).integers(0, 4, gradient.shape).astype(np.uint8)
    spread = images.empty(*images.shape)
    cpu.max_pool_backward(gradient, indices, spread, (2, 2), (2, 2), (0, 0))
    windows = spread.reshape(images.batch, 105, 2, 160, 2, 32)
    for place in range(4):
        expected = gradient * (indices == place)
        np.testing.assert_array_equal(windows[:, :, place // 2, :, place % 2], expected)
    cpu.avg_pool_backward(gradient, spread, (2, 2), (2, 2), (0, 0), True)
    quarter = gradient / gradient.dtype.type(4)
    np.testing.assert_array_equal(spread, quarter.repeat(2, 1).repeat(2, 2))


def test_nearest_interpolation(images: Images) -> None:
    image, output = images.integers((images.batch, 105, 160, 32)), images.empty(*images.shape)
    cpu.interpolate_forward(image, output, "nearest", False)
    np.testing.assert_array_equal(output, image.repeat(2, 1).repeat(2, 2))


def test_pointwise_functions_and_sums(images: Images) -> None:
    image, output = images.integers(images.shape), images.empty(*images.shape)
    positive = image * (image > 0)
    cpu.activation_forward("relu", image, output, 0.0)
    np.testing.assert_array_equal(output, positive)
    cpu.activation_backward("relu", image, image, output, 0.0)
    np.testing.assert_array_equal(output, positive)
    cpu.binary_forward("add", image, image, output)
    np.testing.assert_array_equal(output, image + image)
    cpu.binary_forward("sub", image, image[0, 0, 0], output)
    np.testing.assert_array_equal(output, image - image[0, 0, 0])
    cpu.broadcast_to(image, output, 0.5)
    np.testing.assert_array_equal(output + output, image)
    cpu.dropout(image, output, 0.5, 11)
    kept = output != 0
    np.testing.assert_array_equal(output, (image + image) * kept)
    assert 0.48 < kept.mean() < 0.51  # one in 198 numbers is 0 itself


@pytest.mark.parametrize("channels", [(32, 32), (5, 59)])
def test_concat_split_and_slice(images: Images, channels: tuple[int, int]) -> None:
    size = images.shape[:-1]
    parts = [images.integers((*size, count)) for count in channels]
    joined = images.empty(*size, sum(channels))
    cpu.concat(parts, joined, 3)
    np.testing.assert_array_equal(joined, np.concatenate(parts, axis=3))
    again = [images.empty(*part.shape) for part in parts]
    cpu.split(joined, again, 3)
    for part, expected in zip(again, parts, strict=True):
        np.testing.assert_array_equal(part, expected)
    second = images.empty(*parts[1].shape)
    cpu.slice_forward(joined, second, (0, 0, 0, channels[0]))
    np.testing.assert_array_equal(second, parts[1])


def test_images_joined_along_the_first_axis(images: Images) -> None:
    whole = images.integers(images.shape)
    parts = [images.empty(1, *SIZE), images.empty(images.batch - 1, *SIZE)]
    cpu.split(whole, parts, 0)
    np.testing.assert_array_equal(parts[1], whole[1:])
    joined = images.empty(*images.shape)
    cpu.concat(parts[::-1], joined, 0)
    np.testing.assert_array_equal(joined, np.concatenate([whole[1:], whole[:1]]))


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge"])
def test_pad(images: Images, mode: str) -> None:
    image, output = images.integers(images.shape), images.empty(images.batch, 213, 323, 32)
    cpu.pad_forward(image, output, (0, 1, 2, 0), mode, 0.0)
    expected = np.pad(image, ((0, 0), (1, 2), (2, 1), (0, 0)), mode=mode)  # type: ignore[call-overload]
    np.testing.assert_array_equal(output, expected)


@pytest.mark.parametrize("axes", [(0, 3, 1, 2), (2, 0, 3, 1), (3, 2, 1, 0), (1, 0, 2, 3)])
def test_transpose(images: Images, axes: tuple[int, ...]) -> None:
    image = images.integers(images.shape)
    output = images.empty(*(images.shape[axis] for axis in axes))
    cpu.transpose(image, output, axes)
    np.testing.assert_array_equal(output, image.transpose(axes))


def test_batch_norm_of_values_far_from_zero() -> None:
    image = FLOAT32.integers(FLOAT32.shape) / np.float32(100) + np.float32(1000)
    output, mean, invstd = (FLOAT32.empty(*shape) for shape in (FLOAT32.shape, (32,), (32,)))
    cpu.batch_norm_forward(image, None, None, output, mean, invstd, 1e-5, "identity", 0.0)
    exact = image.astype(np.float64)
    variance = exact.var(axis=(0, 1, 2))
    np.testing.assert_allclose(invstd, 1 / np.sqrt(variance + 1e-5), rtol=2**-22)
    # The mean is rounded to float32: half a unit in its last place is 2^-15 at 1000.
    expected = (exact - exact.mean(axis=(0, 1, 2))) * invstd
    np.testing.assert_allclose(output, expected, rtol=2**-21, atol=2**-15 * invstd.max() * 1.01)

"""Augmentation: the native kernels against numpy and scipy, and the promises of ``Augment``."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import ndimage

from voxelgrad import backends
from voxelgrad.data import Augment, Sample
from voxelgrad.data.augmentation import (
    adjust_intensity,
    elastic_field,
    resample_image,
    resample_mask,
)

ALWAYS = {
    f"{name}_probability": 1.0
    for name in ("flip", "rotation", "scale", "shift", "elastic", "gamma", "intensity", "noise")
}
NEVER = dict.fromkeys(ALWAYS, 0.0)


def random_case(shape, seed=0):
    """An image of two channels, a mapping that turns, shears and leaves the image, and a field."""
    rng = np.random.default_rng(seed)
    rank = len(shape)
    image = rng.normal(size=(*shape, 2)).astype(np.float32)
    matrix = np.eye(rank) + rng.normal(0, 0.2, size=(rank, rank))
    offset = rng.normal(0, 2, size=rank)
    field = rng.normal(0, 1.5, size=(*shape, rank)).astype(np.float32)
    return image, matrix, offset, field


def positions(shape, matrix, offset, field):
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1)
    place = grid @ matrix.T + offset
    return place if field is None else place + field


def resample_slowly(image, place):
    """Interpolate linearly, a corner at a time, in float64; outside is the channel's minimum."""
    shape = np.array(image.shape[:-1])
    low = np.floor(place).astype(int)
    share = place - low
    fill = image.min(axis=tuple(range(len(shape)))).astype(np.float64)
    result = np.zeros((*place.shape[:-1], image.shape[-1]))
    for corner in product((0, 1), repeat=len(shape)):
        index = low + np.array(corner)
        weight = np.prod(np.where(corner, share, 1 - share), axis=-1)
        inside = ((index >= 0) & (index < shape)).all(axis=-1)
        clipped = tuple(np.moveaxis(np.clip(index, 0, shape - 1), -1, 0))
        result += weight[..., None] * np.where(inside[..., None], image[clipped], fill)
    return result


@pytest.mark.parametrize("shape", [(17, 23), (1, 5), (7, 9, 11), (2, 1, 3)])
@pytest.mark.parametrize("with_field", [False, True])
def test_linear_resampling_agrees_with_numpy(shape, with_field):
    image, matrix, offset, field = random_case(shape)
    field = field if with_field else None
    result = resample_image(image, matrix, offset, field)
    expected = resample_slowly(image, positions(shape, matrix, offset, field))
    # Eight products of numbers below 5, each rounded a few times: 1e-5 is ten times that bound.
    np.testing.assert_allclose(result, expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(17, 23), (7, 9, 11)])
def test_nearest_resampling_agrees_with_numpy(shape):
    _, matrix, offset, field = random_case(shape)
    mask = np.random.default_rng(1).integers(0, 5, size=shape)
    result = resample_mask(mask, matrix, offset, field, fill=9)
    index = np.floor(positions(shape, matrix, offset, field) + 0.5).astype(int)
    inside = ((index >= 0) & (index < shape)).all(axis=-1)
    clipped = tuple(np.moveaxis(np.clip(index, 0, np.array(shape) - 1), -1, 0))
    assert np.array_equal(result, np.where(inside, mask[clipped], 9))
    assert 0 < inside.mean() < 1


@pytest.mark.parametrize("shape", [(17, 23), (7, 9, 11)])
def test_resampling_agrees_with_scipy(shape):
    image, matrix, offset, field = random_case(shape, seed=3)
    place = np.moveaxis(positions(shape, matrix, offset, field), -1, 0)
    result = resample_image(image, matrix, offset, field)
    for channel in range(image.shape[-1]):
        plane = image[..., channel]
        expected = ndimage.map_coordinates(
            plane, place, order=1, mode="grid-constant", cval=plane.min()
        )
        np.testing.assert_allclose(result[..., channel], expected, atol=1e-5)


def test_a_flip_moves_values_without_changing_them():
    image = np.random.default_rng(0).normal(size=(6, 5, 3)).astype(np.float32)
    matrix, offset = np.diag([-1.0, 1.0]), np.array([5.0, 0.0])
    assert np.array_equal(resample_image(image, matrix, offset), image[::-1])


def test_positions_that_are_not_numbers_count_as_outside():
    image = np.ones((4, 4, 1), np.float32)
    field = np.full((4, 4, 2), np.nan, np.float32)
    field[0] = 1e30
    fill = np.array([7], np.float32)
    output = np.empty_like(image)
    backends.load("cpu").resample_linear(image, output, np.eye(2), np.zeros(2), field, fill)
    assert (output == 7).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"matrix": np.eye(3)}, "matrix"),
        ({"offset": np.zeros(3)}, "offset"),
        ({"displacement": np.zeros((4, 5, 2), np.float32)}, "displacement"),
        ({"fill": np.zeros(2, np.float32)}, "fill"),
        ({"output": np.zeros((4, 4, 3), np.float32)}, "output"),
    ],
)
def test_native_resampling_refuses_shapes_that_do_not_fit(change, message):
    arguments = {
        "image": np.zeros((4, 4, 1), np.float32),
        "output": np.zeros((4, 4, 1), np.float32),
        "matrix": np.eye(2),
        "offset": np.zeros(2),
        "displacement": None,
        "fill": np.zeros(1, np.float32),
    }
    with pytest.raises(ValueError, match=f"resample_linear: {message}"):
        backends.load("cpu").resample_linear(**{**arguments, **change})


def test_noise_is_normal_and_depends_on_the_seed_alone():
    native = backends.load("cpu")
    image = np.zeros((501, 401, 3), np.float32)
    noise, again, other = (np.empty_like(image) for _ in range(3))
    native.add_gaussian_noise(image, noise, 2.0, 5)
    native.add_gaussian_noise(image, other, 2.0, 6)
    threads = native.num_threads()
    native.set_num_threads(1)
    native.add_gaussian_noise(image, again, 2.0, 5)
    native.set_num_threads(threads)
    assert np.array_equal(noise, again)
    assert not np.array_equal(noise, other)
    # Five standard errors of mean, variance and fourth moment (3) of 600,000 normal numbers.
    unit = noise.ravel().astype(np.float64) / 2
    error = 5 / np.sqrt(unit.size)
    assert abs(unit.mean()) < error
    assert abs(unit.var() - 1) < error * np.sqrt(2)
    assert abs((unit**4).mean() - 3) < error * np.sqrt(96)
    assert abs((unit[:-1] * unit[1:]).mean()) < error


def test_resampling_does_not_depend_on_the_number_of_threads():
    native = backends.load("cpu")
    image, matrix, offset, field = random_case((64, 64, 64))
    threads = native.num_threads()
    results = []
    for count in (1, 2):
        native.set_num_threads(count)
        results.append(resample_image(image, matrix, offset, field))
    native.set_num_threads(threads)
    assert np.array_equal(*results)


def test_gamma_keeps_the_ends_and_scale_and_shift_come_after():
    image = np.linspace(-1, 3, 9, dtype=np.float32).reshape(3, 3, 1)
    low, high = np.array([-1]), np.array([3])
    result = adjust_intensity(image, low, high, np.array([2.0]), np.array([10.0]), np.array([1.0]))
    t = (image.astype(np.float64) + 1) / 4
    np.testing.assert_allclose(result, 10 * (4 * t**2 - 1) + 1, rtol=1e-5)
    assert result.min() == -9
    assert result.max() == 31


@pytest.mark.parametrize("shape", [(40, 37), (20, 24, 18)])
def test_elastic_fields_are_smooth_and_do_not_fold(shape):
    field = elastic_field(np.random.default_rng(0), shape, spacing=8.0, strength=5.0)
    assert field.shape == (*shape, len(shape))
    assert field.std() > 0.5
    # A strength far too large is cut: the mapping keeps its orientation everywhere.
    rank = len(shape)
    slopes = [np.gradient(field[..., k], axis=axis) for k in range(rank) for axis in range(rank)]
    jacobian = np.stack(slopes, axis=-1).reshape(*shape, rank, rank) + np.eye(rank)
    assert np.linalg.det(jacobian).min() > 0


def test_elastic_fields_are_cubic_splines():
    spacing, shape = 4.0, (9, 13)
    field = elastic_field(np.random.default_rng(0), shape, spacing, strength=0.1)
    draws = np.random.default_rng(0).normal(0, 0.1, size=(6, 7, 2)) * spacing
    # At a control point the spline is (before + 4 * at + after) / 6 along each axis.
    weights = np.array([1, 4, 1]) / 6
    for row, column in ((0, 0), (1, 2), (2, 3)):
        patch = draws[row : row + 3, column : column + 3]
        expected = np.einsum("i,j,ijk->k", weights, weights, patch)
        np.testing.assert_allclose(field[4 * row, 4 * column], expected, atol=1e-6)


def blob(shape=(48, 40)):
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij"), -1)
    mask = (np.linalg.norm(grid - 0.2, axis=-1) < 0.4).astype(np.int64)
    image = np.stack([mask, 1 - mask], axis=-1).astype(np.float32)
    return Sample(image, mask, "p", "p_1")


@pytest.mark.parametrize("shape", [(48, 40), (20, 24, 28)])
def test_the_mask_follows_the_image(shape):
    augment = Augment(
        **{**ALWAYS, "gamma_probability": 0, "intensity_probability": 0, "noise_probability": 0}
    )
    for seed in range(8):
        sample = blob(shape)
        changed = augment(sample, np.random.default_rng(seed))
        assert changed.image.shape == sample.image.shape
        assert changed.label.dtype == np.int64
        # The nearest of the 2^R voxels that are mixed has at least the share 2^-R: a value within
        # that share of 0 or 1 leaves the mask no choice.
        share = 0.5 ** len(shape) - 1e-6
        assert (changed.label[changed.image[..., 0] > 1 - share] == 1).all()
        assert (changed.label[changed.image[..., 0] < share] == 0).all()
        assert changed.label.any()
        assert not np.array_equal(changed.label, sample.label)


def test_without_chance_nothing_changes():
    sample = blob()
    changed = Augment(**NEVER)(sample, np.random.default_rng(0))
    assert np.array_equal(changed.image, sample.image)
    assert np.array_equal(changed.label, sample.label)


def test_the_sample_itself_is_never_changed():
    sample = blob()
    image, label = sample.image.copy(), sample.label.copy()
    Augment(**ALWAYS)(sample, np.random.default_rng(0))
    assert np.array_equal(sample.image, image)
    assert np.array_equal(sample.label, label)


def test_one_generator_state_gives_one_result():
    first, second = (Augment(**ALWAYS)(blob(), np.random.default_rng(4)) for _ in range(2))
    other = Augment(**ALWAYS)(blob(), np.random.default_rng(5))
    assert np.array_equal(first.image, second.image)
    assert np.array_equal(first.label, second.label)
    assert not np.array_equal(first.image, other.image)


def test_class_numbers_stay():
    sample = Sample(blob().image, 3, "p", "p_1")
    assert Augment(**ALWAYS)(sample, np.random.default_rng(0)).label == 3


def test_flip_axes_limit_mirroring():
    augment = Augment(**{**NEVER, "flip_probability": 1.0}, flip_axes=(1,))
    sample = blob()
    changed = augment(sample, np.random.default_rng(0))
    assert np.array_equal(changed.image, sample.image[:, ::-1])
    assert np.array_equal(changed.label, sample.label[:, ::-1])


def test_rotation_planes_leave_other_axes_alone():
    augment = Augment(**{**NEVER, "rotation_probability": 1.0}, rotation_planes=((0, 1),))
    image = np.broadcast_to(np.arange(6, dtype=np.float32), (8, 8, 6))[..., None].copy()
    changed = augment(Sample(image, None, "p", "p"), np.random.default_rng(0))
    # Four shares that sum to 1 but for rounding; the middle turns onto the middle.
    np.testing.assert_allclose(changed.image[4, 4], image[4, 4], rtol=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {"flip_probability": 1.5},
        {"scale_range": (0.0, 1.0)},
        {"gamma_range": (2.0, 1.0)},
        {"noise_std": -1.0},
        {"elastic_spacing": 0.0},
        {"brightness": float("nan")},
    ],
)
def test_options_out_of_range_are_named(options):
    with pytest.raises(ValueError, match=f"Augment: {next(iter(options))}"):
        Augment(**options)


def test_images_of_other_ranks_are_refused():
    with pytest.raises(ValueError, match="can be augmented"):
        Augment()(Sample(np.zeros((4, 1), np.float32), None, "p", "p"), np.random.default_rng(0))

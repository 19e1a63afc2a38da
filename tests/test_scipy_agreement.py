"""SciPy as a second opinion: convolution, filters, resizing, resampling, special functions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import ndimage, signal, sparse, special, stats

import voxelgrad as vg
from bounds import bounds_of
from comparison import SMALLEST, assert_within
from op_case import OpCase
from op_cases import CONV_CASES
from op_runs import problem_of, run_native
from scipy_convolution import evaluate_with_scipy
from voxelgrad import ops
from voxelgrad.backends import cpu
from voxelgrad.data import largest_component
from voxelgrad.data.augmentation import elastic_field, resample_image, resample_mask
from voxelgrad.data.sampling import gaussian_weights

DOUBLE = 1e-11
"""What sums of some hundred numbers of size 10 may differ by in float64."""


def pairs_of_channels(case: OpCase) -> int:
    return case.args[0].shape[0] * case.args[1].shape[0] * case.args[1].shape[-1]


CONVOLUTIONS = [c for c in CONV_CASES if c.op != "linear" and pairs_of_channels(c) <= 160]


@pytest.mark.parametrize("case", CONVOLUTIONS, ids=lambda case: case.name)
def test_convolutions_are_those_of_scipy(case: OpCase) -> None:
    problem = problem_of(case)
    exact = evaluate_with_scipy(case, problem.arrays, problem.grad)
    for reference, expected in zip(problem.expected, exact, strict=True):
        np.testing.assert_allclose(reference, expected, rtol=0, atol=DOUBLE)
    bounds = bounds_of(case, problem.arrays, problem.grad)
    assert_within(run_native(case, problem), exact, bounds)


def image(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def by_channel(function: Any, x: np.ndarray, **settings: Any) -> np.ndarray:
    """Apply a filter of ``scipy.ndimage`` to every channel of every image."""
    planes = [[function(plane, **settings) for plane in np.moveaxis(one, -1, 0)] for one in x]
    return np.moveaxis(np.array(planes), 1, -1)


@pytest.mark.parametrize("size", [(23,), (9, 12), (5, 6, 7)])
@pytest.mark.parametrize("kernel", [3, 5])
def test_pools_are_filters_at_every_step(size: tuple[int, ...], kernel: int) -> None:
    x = image(2, *size, 3)
    steps = (slice(None), *(slice(None, None, 2) for _ in size))
    settings = {"kernel_size": kernel, "stride": 2, "padding": kernel // 2}
    pools = {kind: getattr(ops, f"{kind}_pool{len(size)}d") for kind in ("max", "avg")}
    largest = by_channel(ndimage.maximum_filter, x, size=kernel, mode="constant", cval=-np.inf)
    mean = by_channel(ndimage.uniform_filter, x, size=kernel, mode="constant")
    np.testing.assert_array_equal(pools["max"](vg.Tensor(x), **settings).numpy(), largest[steps])
    result = pools["avg"](vg.Tensor(x), **settings).numpy()
    np.testing.assert_allclose(result, mean[steps], rtol=0, atol=DOUBLE)


@pytest.mark.parametrize("corners", [False, True])
@pytest.mark.parametrize(
    ("size", "target"), [((9,), (20,)), ((9, 4), (5, 11)), ((4, 5, 3), (9, 3, 7))]
)
def test_linear_resizing_is_zoom(
    size: tuple[int, ...], target: tuple[int, ...], corners: bool
) -> None:
    x = image(1, *size, 2)
    result = ops.interpolate(vg.Tensor(x), target, mode="linear", align_corners=corners).numpy()
    zoom = [out / n for out, n in zip(target, size, strict=True)]
    expected = by_channel(
        ndimage.zoom, x, zoom=zoom, order=1, mode="nearest", grid_mode=not corners
    )
    np.testing.assert_allclose(result, expected, rtol=0, atol=DOUBLE)


def test_resampling_is_a_product_with_a_sparse_matrix() -> None:
    x = image(2, 9, 4)
    starts, places = np.array([0, 2, 2, 5, 6]), np.array([8, 3, 0, 0, 5, 1])
    weights = image(6, seed=1)
    matrix = sparse.csr_array((weights, places, starts), shape=(4, 9))
    table = (starts.astype(np.int32), places.astype(np.int32), weights)
    tensor = vg.Tensor(x, requires_grad=True)
    result = ops.resample(tensor, [table])
    grad = image(2, 4, 4, seed=2)
    result.backward(grad)
    assert tensor.grad is not None
    for n in range(2):
        np.testing.assert_allclose(result.numpy()[n], matrix @ x[n], rtol=0, atol=DOUBLE)
        np.testing.assert_allclose(tensor.grad.numpy()[n], matrix.T @ grad[n], rtol=0, atol=DOUBLE)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_special_functions_are_scipys(dtype: type) -> None:
    x = (20.0 * image(50, 7)).astype(dtype)
    exact = x.astype(np.float64)
    expected = {
        "sigmoid": special.expit(exact),
        "softmax": special.softmax(exact, axis=-1),
        "log_softmax": special.log_softmax(exact, axis=-1),
        "softplus": np.logaddexp(0.0, exact),
    }
    # A rounding of a number up to 100 changes its exponential by 100 roundings.
    tolerance = 200 * np.finfo(dtype).eps
    for name, values in expected.items():
        result = getattr(ops, name)(vg.Tensor(x)).numpy()
        # The logarithm of nearly 1 is a difference of numbers of size 100.
        atol = tolerance if name == "log_softmax" else SMALLEST
        np.testing.assert_allclose(result, values, rtol=tolerance, atol=atol, err_msg=name)


def test_losses_are_scipys() -> None:
    logits, labels = 5.0 * image(40, 6), np.random.default_rng(1).integers(0, 6, 40)
    log_p = special.log_softmax(logits, axis=-1)[np.arange(40), labels]
    loss = ops.cross_entropy(vg.Tensor(logits), labels).item()
    assert loss == pytest.approx(-log_p.mean(), rel=1e-12)
    targets = special.expit(image(40, 6, seed=2))
    both = special.xlogy(targets, special.expit(logits))
    both += special.xlogy(1 - targets, special.expit(-logits))
    loss = ops.binary_cross_entropy_with_logits(vg.Tensor(logits), targets).item()
    assert loss == pytest.approx(-both.mean(), rel=1e-12)


def mapping(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return an image, and a matrix and an offset that turn, shear and leave it."""
    rng = np.random.default_rng(len(shape))
    rank = len(shape)
    matrix = np.eye(rank) + rng.normal(0, 0.2, size=(rank, rank))
    return rng.normal(size=shape).astype(np.float32), matrix, rng.normal(0, 2, size=rank)


@pytest.mark.parametrize("shape", [(17, 23), (7, 9, 11)])
def test_augmented_images_and_masks_are_affine_transforms(shape: tuple[int, ...]) -> None:
    plane, matrix, offset = mapping(shape)
    outside = {"mode": "grid-constant", "cval": plane.min()}
    expected = ndimage.affine_transform(plane, matrix, offset, order=1, **outside)
    result = resample_image(plane[..., None], matrix, offset)[..., 0]
    # Eight products of numbers below 5, each rounded a few times: 1e-5 is ten times that bound.
    np.testing.assert_allclose(result, expected, atol=1e-5)
    mask = np.random.default_rng(1).integers(0, 5, shape)
    nearest = ndimage.affine_transform(mask, matrix, offset, order=0, mode="constant", cval=9)
    taken = resample_mask(mask, matrix, offset, fill=9)
    # Half a voxel beyond the border the nearest one still is the border's; SciPy stops there.
    inside = nearest != 9
    np.testing.assert_array_equal(taken[inside], nearest[inside])
    assert inside.mean() > 0.2


@pytest.mark.parametrize("shape", [(40, 37), (9, 12, 11)])
def test_elastic_fields_are_splines_of_scipy(shape: tuple[int, ...]) -> None:
    spacing, strength, rank = 5.0, 0.1, len(shape)
    field = elastic_field(np.random.default_rng(3), shape, spacing, strength)
    coarse = [int((n - 1) / spacing) + 4 for n in shape]
    knots = np.random.default_rng(3).normal(0, strength, (*coarse, rank)).clip(-0.4, 0.4) * spacing
    places = np.stack(np.meshgrid(*(1 + np.arange(n) / spacing for n in shape), indexing="ij"))
    for axis in range(rank):
        expected = ndimage.map_coordinates(knots[..., axis], places, order=3, prefilter=False)
        np.testing.assert_allclose(field[..., axis], expected, atol=1e-5)


def test_noise_has_the_distribution_of_scipys_normal() -> None:
    zeros, noise = np.zeros((101, 97, 3), np.float32), np.empty((101, 97, 3), np.float32)
    cpu.add_gaussian_noise(zeros, noise, 2.0, 11)
    assert stats.kstest(noise.ravel() / 2.0, "norm").pvalue > 1e-3


@pytest.mark.parametrize("length", [8, 9])
def test_weights_of_windows_are_gaussians(length: int) -> None:
    line = signal.windows.gaussian(length, std=0.125 * length)
    expected = np.maximum(np.outer(line, line) / line.max() ** 2, 1e-3)
    np.testing.assert_allclose(gaussian_weights((length, length)), expected, rtol=1e-6)


@pytest.mark.parametrize("shape", [(40, 50), (12, 13, 14)])
@pytest.mark.parametrize("share", [0.1, 0.2, 0.3])
def test_the_largest_piece_is_that_of_label(shape: tuple[int, ...], share: float) -> None:
    mask = (np.random.default_rng(7).random(shape) < share).astype(np.int64)
    pieces, count = ndimage.label(mask, np.ones((3,) * len(shape)))
    sizes = ndimage.sum_labels(mask, pieces, range(1, count + 1))
    np.testing.assert_array_equal(largest_component(mask), pieces == 1 + np.argmax(sizes))


@pytest.mark.parametrize("seed", range(5))
def test_the_area_under_the_curve_is_mann_whitneys(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, 200)
    scores = np.round(rng.random(200) + 0.3 * truth, 1)  # with ties
    statistic = stats.mannwhitneyu(scores[truth == 1], scores[truth == 0]).statistic
    pairs = truth.sum() * (200 - truth.sum())
    assert vg.train.metrics.auc(scores, truth) == pytest.approx(statistic / pairs, rel=1e-12)

"""The oracle itself: the reference against definitions written out element by element."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

from voxelgrad.backends import reference


def _random(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape)


def _inside(place: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    return all(0 <= p < n for p, n in zip(place, shape, strict=True))


@pytest.mark.parametrize(
    ("stride", "padding", "dilation", "groups"),
    [((1, 1), (0, 0), (1, 1), 1), ((2, 1), (1, 2), (1, 2), 1), ((1, 3), (2, 0), (2, 1), 2)],
)
def test_convolution_is_the_sum_of_its_definition(
    stride: tuple[int, int], padding: tuple[int, int], dilation: tuple[int, int], groups: int
) -> None:
    image, weight, bias = _random(2, 6, 7, 4), _random(6, 3, 2, 4 // groups), _random(6)
    size = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip((6, 7), (3, 2), stride, padding, dilation, strict=True)
    ]
    output = np.empty((2, *size, 6))
    reference.conv_forward(image, weight, bias, output, stride, padding, dilation, groups, 1.0)
    for n, y, x, o in np.ndindex(output.shape):
        group = o // (6 // groups)
        total = bias[o]
        for ky, kx, i in np.ndindex(weight.shape[1:]):
            iy = y * stride[0] + ky * dilation[0] - padding[0]
            ix = x * stride[1] + kx * dilation[1] - padding[1]
            if _inside((iy, ix), (6, 7)):
                total += weight[o, ky, kx, i] * image[n, iy, ix, group * (4 // groups) + i]
        assert output[n, y, x, o] == pytest.approx(total, abs=1e-12)


@pytest.mark.parametrize("groups", [1, 2])
def test_transposed_convolution_spreads_every_voxel(groups: int) -> None:
    image, weight = _random(1, 4, 5, 4), _random(6, 3, 2, 4 // groups)
    stride, padding, dilation = (2, 3), (1, 0), (1, 2)
    expected = np.zeros((1, 8, 16, 6))  # output padding 1 along both axes
    for y, x, o, ky, kx, i in product(*map(range, (4, 5, 6, 3, 2, 4 // groups))):
        place = (y * 2 + ky - 1, x * 3 + 2 * kx)
        channel = o // (6 // groups) * (4 // groups) + i
        if _inside(place, (8, 16)):
            expected[(0, *place, o)] += weight[o, ky, kx, i] * image[0, y, x, channel]
    output = np.empty_like(expected)
    settings = (stride, padding, dilation, groups, 1.0)
    reference.conv_transpose_forward(image, weight, None, output, *settings)
    np.testing.assert_allclose(output, expected, atol=1e-12)


def test_pooling_windows() -> None:
    image = _random(1, 5, 6, 2)
    window = ((3, 2), (2, 1), (1, 0))
    highest, mean, inner_mean = (np.empty((1, 3, 5, 2)) for _ in range(3))
    indices = np.empty((1, 3, 5, 2), np.uint8)
    reference.max_pool_forward(image, highest, indices, *window)
    reference.avg_pool_forward(image, mean, *window, True)
    reference.avg_pool_forward(image, inner_mean, *window, False)
    for y, x, c in np.ndindex(3, 5, 2):
        top = max(2 * y - 1, 0)
        values = image[0, top : 2 * y + 2, x : x + 2, c]
        assert highest[0, y, x, c] == values.max()
        ky, kx = divmod(int(indices[0, y, x, c]), 2)
        assert image[0, 2 * y - 1 + ky, x + kx, c] == values.max()
        assert mean[0, y, x, c] == pytest.approx(values.sum() / 6)
        assert inner_mean[0, y, x, c] == pytest.approx(values.mean())


def test_adaptive_pooling_windows_overlap_where_they_must() -> None:
    output = np.empty((1, 3, 1))
    reference.adaptive_avg_pool_forward(np.arange(5.0).reshape(1, 5, 1), output)
    np.testing.assert_allclose(output.ravel(), [0.5, 2.0, 3.5])


def test_normalised_values_have_mean_zero_and_variance_one() -> None:
    image = 3.0 + 5.0 * _random(2, 7, 5, 6)
    output, mean, invstd = np.empty_like(image), np.empty(6), np.empty(6)
    reference.batch_norm_forward(image, None, None, output, mean, invstd, 0.0, "identity", 0.0)
    np.testing.assert_allclose(output.mean(axis=(0, 1, 2)), 0.0, atol=1e-12)
    np.testing.assert_allclose(output.std(axis=(0, 1, 2)), 1.0)
    mean, invstd = np.empty((2, 3)), np.empty((2, 3))
    reference.group_norm_forward(image, None, None, output, mean, invstd, 0.0, "identity", 0.0)
    grouped = output.reshape(2, 7, 5, 3, 2)
    np.testing.assert_allclose(grouped.mean(axis=(1, 2, 4)), 0.0, atol=1e-12)
    np.testing.assert_allclose(grouped.std(axis=(1, 2, 4)), 1.0)


@pytest.mark.parametrize(
    ("mode", "corners", "expected"),
    [
        ("nearest", False, [0, 0, 1, 1, 2, 2]),
        ("linear", False, [0, 0.25, 0.75, 1.25, 1.75, 2]),
        ("linear", True, [0, 0.4, 0.8, 1.2, 1.6, 2]),
    ],
)
def test_interpolation_of_a_ramp(mode: str, corners: bool, expected: list[float]) -> None:
    output = np.empty((1, 6, 1))
    reference.interpolate_forward(np.arange(3.0).reshape(1, 3, 1), output, mode, corners)
    np.testing.assert_allclose(output.ravel(), expected)


def _splitmix64(seed: int, number: int) -> int:
    """Return the ``number``-th output (from 1) of the generator, in Python's integers."""
    word = 2**64 - 1
    z = (seed + number * 0x9E3779B97F4A7C15) & word
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & word
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & word
    return z ^ (z >> 31)


def test_dropout_keeps_by_counter_and_scales() -> None:
    assert _splitmix64(1234567, 1) == 6457827717110365317  # published with the algorithm
    seed, p = 2**63 + 12345, 0.3
    words = [_splitmix64(seed, pair + 1) for pair in range(500)]
    halves = [half for word in words for half in (word % 2**32, word >> 32)]
    kept = [(half >> 8) * 2.0**-24 >= p for half in halves]
    output = np.empty(1000)
    reference.dropout(np.full(1000, 7.0), output, p, seed)
    np.testing.assert_allclose(output, np.where(kept, 10.0, 0.0))
    assert 0.25 < np.mean(output == 0.0) < 0.35


def test_losses_by_hand() -> None:
    logits = np.log(np.array([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1], [0.1, 0.1, 0.8]]))
    labels = np.array([2, 1, -100])
    weight = np.array([1.0, 2.0, 4.0])
    lse, totals = np.empty(3), np.empty(2)
    reference.cross_entropy_forward(logits, labels, weight, lse, totals, -100)
    np.testing.assert_allclose(totals, [-4 * math.log(0.5) - 2 * math.log(0.3), 6.0])
    np.testing.assert_allclose(lse, 0.0, atol=1e-12)
    reference.focal_forward(logits, labels, None, totals, 2.0, -100)
    expected = -0.25 * math.log(0.5) - 0.49 * math.log(0.3)
    np.testing.assert_allclose(totals, [expected, 2.0])
    sums = np.empty((1, 3, 3))
    reference.dice_sums(np.exp(logits)[None], labels[None], sums, -100)
    np.testing.assert_allclose(sums[0, 1], [0.3, 0.6, 1.0])
    reference.bce_with_logits_forward(np.array([math.log(3)]), np.array([1.0]), totals, 2.0)
    np.testing.assert_allclose(totals, [-2 * math.log(0.75), 1.0])


def test_optimizer_steps_by_hand() -> None:
    param, buffer = np.array([1.0]), np.array([0.5])
    reference.sgd_step([param], [np.array([2.0])], [buffer], 0.1, 0.9, True, 0.5)
    assert buffer[0] == pytest.approx(0.45 + 2.5)
    assert param[0] == pytest.approx(1.0 - 0.1 * (2.5 + 0.9 * 2.95))
    param, average, square = np.array([1.0]), np.zeros(1), np.zeros(1)
    reference.adam_step(
        [param], [np.array([-3.0])], [average], [square], 0.1, 0.9, 0.99, 0.0, 0.5, True, 1
    )
    assert param[0] == pytest.approx(0.95 + 0.1)  # decay, then a first step of size lr
    assert (average[0], square[0]) == (pytest.approx(-0.3), pytest.approx(0.09))

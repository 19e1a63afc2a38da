"""NaN, infinities, zeros and ties: the native kernels treat them as the reference does."""

from __future__ import annotations

import numpy as np
import pytest

from voxelgrad.backends import cpu, reference

INF, NAN = np.inf, np.nan
SPECIAL = np.array(
    [
        0.0,
        -0.0,
        INF,
        -INF,
        NAN,
        1.0,
        -1.0,
        1e-30,
        -1e-30,
        30.0,
        -30.0,
        80.0,
        -80.0,
        1e30,
        -1e30,
        2.0,
    ]
    + [0.5] * 21,
    np.float32,
)
KINDS = [
    "relu",
    "leaky_relu",
    "elu",
    "sigmoid",
    "tanh",
    "softplus",
    "exp",
    "log",
    "sqrt",
    "abs",
    "square",
]
SAVES_OUTPUT = {"relu", "elu", "sigmoid", "tanh", "exp", "sqrt"}


def _close(result: np.ndarray, expected: np.ndarray) -> None:
    """Compare to a few units in the last place; special values must be the same."""
    with np.errstate(over="ignore"):
        rounded = expected.astype(np.float32)
    np.testing.assert_allclose(result, rounded, rtol=8 * 2.0**-24, atol=2.0**-126)


@pytest.mark.parametrize("kind", KINDS)
def test_activations_of_special_values(kind: str) -> None:
    result = np.empty_like(SPECIAL)
    expected = np.empty(SPECIAL.shape)
    with np.errstate(all="ignore"):
        reference.activation_forward(kind, SPECIAL, expected, 0.25)
    cpu.activation_forward(kind, SPECIAL, result, 0.25)
    _close(result, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_activation_slopes_at_special_values(kind: str) -> None:
    saved = np.empty_like(SPECIAL)
    with np.errstate(all="ignore"):
        reference.activation_forward(kind, SPECIAL, saved, 0.25)
        if kind not in SAVES_OUTPUT:
            saved = SPECIAL
        grad = np.full_like(SPECIAL, 3.0)
        expected = np.empty(SPECIAL.shape)
        reference.activation_backward(kind, grad, saved, expected, 0.25)
    result = np.empty_like(SPECIAL)
    cpu.activation_backward(kind, grad, saved, result, 0.25)
    # Where a slope is a difference, it is exact only to the roundings of its terms.
    np.testing.assert_allclose(result, expected.astype(np.float32), rtol=1e-6, atol=3 * 2.0**-23)


@pytest.mark.parametrize("kind", KINDS)
def test_activations_in_place(kind: str) -> None:
    values = np.linspace(0.1, 3.0, 37, dtype=np.float32)
    apart, grad = np.empty_like(values), np.empty_like(values)
    cpu.activation_forward(kind, values, apart, 0.25)
    cpu.activation_backward(kind, values, values, grad, 0.25)
    same = values.copy()
    cpu.activation_forward(kind, same, same, 0.25)
    np.testing.assert_array_equal(same, apart)
    same = values.copy()
    cpu.activation_backward(kind, same, values, same, 0.25)
    np.testing.assert_array_equal(same, grad)


@pytest.mark.parametrize("kind", ["add", "sub", "mul", "div", "maximum", "minimum"])
def test_binary_operations_of_special_values(kind: str) -> None:
    a, b = SPECIAL.reshape(-1, 1), SPECIAL.reshape(1, -1)
    result, expected = (np.empty((SPECIAL.size, SPECIAL.size), t) for t in (np.float32, np.float64))
    with np.errstate(all="ignore"):
        reference.binary_forward(kind, a, b, expected)
    cpu.binary_forward(kind, a, b, result)
    _close(result, expected)


def _max_pool(backend: object, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    shape = (1, (image.shape[1] + 2 - 3) // 2 + 1, image.shape[2] - 2 + 1, image.shape[3])
    output, indices = np.empty(shape, np.float32), np.empty(shape, np.uint8)
    backend.max_pool_forward(image, output, indices, (3, 2), (2, 1), (1, 0))
    return output, indices


@pytest.mark.parametrize("channels", [1, 3, 16, 33])
def test_first_maximum_and_first_nan_win(channels: int) -> None:
    rng = np.random.default_rng(0)
    values = np.array([0.0, 1.0, 1.0, -1.0, -INF, INF, NAN], np.float32)
    image = rng.choice(values, (1, 9, 11, channels), p=[0.2, 0.2, 0.2, 0.1, 0.2, 0.05, 0.05])
    for result, expected in zip(_max_pool(cpu, image), _max_pool(reference, image), strict=True):
        np.testing.assert_array_equal(result, expected)


def test_a_window_of_minus_infinity_finds_a_voxel_of_the_image() -> None:
    image = np.full((1, 4, 4, 5), -INF, np.float32)
    output, indices = _max_pool(cpu, image)
    assert (output == -INF).all()
    np.testing.assert_array_equal(indices[0, 0], 2)  # the first row of the window is padding


@pytest.mark.parametrize("log", [True, False])
def test_softmax_of_large_logits_does_not_overflow(log: bool) -> None:
    logits = np.array([[1e4, 1e4 - 1.0, -1e4], [-1e38, 1e38, 0.0]], np.float32)
    result, expected = np.empty_like(logits), np.empty(logits.shape)
    reference.softmax_forward(logits, expected, log)
    cpu.softmax_forward(logits, result, log)
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("backend", [cpu, reference], ids=["cpu", "reference"])
@pytest.mark.parametrize("label", [5, -1, 2**40])
def test_a_label_outside_the_classes_is_named_with_its_index(backend: object, label: int) -> None:
    logits = np.zeros((2, 3, 5), np.float32)
    labels = np.zeros((2, 3), np.int64)
    labels[1, 2] = label
    lse, totals = np.empty((2, 3), np.float32), np.empty(2)
    sums = np.empty((2, 5, 3))
    for call in (
        lambda: backend.cross_entropy_forward(logits, labels, None, lse, totals, -100),
        lambda: backend.focal_forward(logits, labels, None, totals, 2.0, -100),
        lambda: backend.dice_sums(logits, labels, sums, -100),
    ):
        with pytest.raises(ValueError, match=rf"{label}.*\(1, 2\)"):
            call()

"""The fused optimizer steps against the float64 reference."""

from __future__ import annotations

import numpy as np
import pytest

from voxelgrad.backends import cpu, reference

SHAPES = [(1,), (3, 5), (33,), (2, 3, 3, 17), (40001,)]
STEPS = 3
# A step is about 15 roundings of numbers no larger than those in play (below 8), STEPS times.
ERROR = STEPS * 15 * 8.0 * 2.0**-24


def _lists(count: int) -> list[list[np.ndarray]]:
    """Return ``count`` lists of float32 arrays of SHAPES with values in [-2, 2]."""
    rng = np.random.default_rng(2)
    return [[rng.uniform(-2, 2, s).astype(np.float32) for s in SHAPES] for _ in range(count)]


def _zeros() -> list[np.ndarray]:
    return [np.zeros(s, np.float32) for s in SHAPES]


def _doubled(arrays: list[np.ndarray]) -> list[np.ndarray]:
    return [a.astype(np.float64) for a in arrays]


def _assert_close(results: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for result, exact in zip(results, expected, strict=True):
        assert np.abs(result - exact).max() <= ERROR


@pytest.mark.parametrize(
    ("momentum", "nesterov", "weight_decay"),
    [
        (0.0, False, 0.0),
        (0.0, False, 0.1),
        (0.9, False, 0.01),
        (0.9, True, 0.01),
        (0.9, True, 0.0),
    ],
)
def test_sgd(momentum: float, nesterov: bool, weight_decay: float) -> None:
    params, *grads = _lists(1 + STEPS)
    buffers = _zeros() if momentum else []
    exact_params, exact_buffers = _doubled(params), _doubled(buffers)
    for grad in grads:
        settings = (0.1, momentum, nesterov, weight_decay)
        cpu.sgd_step(params, grad, buffers, *settings)
        reference.sgd_step(exact_params, _doubled(grad), exact_buffers, *settings)
    _assert_close(params, exact_params)
    _assert_close(buffers, exact_buffers)


@pytest.mark.parametrize("decoupled", [True, False])
@pytest.mark.parametrize("weight_decay", [0.0, 0.05])
def test_adam(decoupled: bool, weight_decay: float) -> None:
    params, *grads = _lists(1 + STEPS)
    averages, squares = _zeros(), _zeros()
    exact = [_doubled(arrays) for arrays in (params, averages, squares)]
    for step, grad in enumerate(grads, start=1):
        settings = (0.01, 0.9, 0.999, 1e-8, weight_decay, decoupled, step)
        cpu.adam_step(params, grad, averages, squares, *settings)
        reference.adam_step(exact[0], _doubled(grad), exact[1], exact[2], *settings)
    for results, expected in zip((params, averages, squares), exact, strict=True):
        _assert_close(results, expected)


def test_squared_norm_and_scaling() -> None:
    (arrays,) = _lists(1)
    expected = reference.squared_norm(arrays)
    # Squares are positive: the relative error is that of the sum, here at most 2^16 terms.
    assert cpu.squared_norm(arrays) == pytest.approx(expected, rel=2.0**16 * 2.0**-24)
    scaled = [a * np.float32(0.25) for a in arrays]
    cpu.scale_inplace(arrays, 0.25)
    for result, exact in zip(arrays, scaled, strict=True):
        np.testing.assert_array_equal(result, exact)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("size", [1, 15, 16, 37, 100_003])
def test_all_finite_finds_one_bad_number_anywhere(bad: float, size: int) -> None:
    array = np.full(size, 3e38, np.float32)
    assert cpu.all_finite(array)
    for place in {0, size // 2, size - 1}:
        array[place] = bad
        assert not cpu.all_finite(array)
        array[place] = 0.0

"""Ops that move bytes, on bfloat16 images: the float64 reference's results, rounded when stored."""

from __future__ import annotations

from collections.abc import Iterator

import ml_dtypes
import numpy as np
import pytest

import voxelgrad as vg
from bf16_bounds import accepts, bounds_of
from bf16_runs import rounded_problem, run_images
from comparison import assert_within
from instruction_sets import VECTOR
from op_case import OpCase
from op_cases import CASES, LARGE_CASES
from op_runs import Problem
from test_special_values import KINDS, SAVES_OUTPUT, SPECIAL
from voxelgrad.backends import cpu, reference

BF16 = np.dtype(ml_dtypes.bfloat16)
INF, NAN = np.inf, np.nan


IMAGE_CASES = [case for case in CASES if accepts(case)]
LARGE_IMAGE_CASES = [case for case in LARGE_CASES if accepts(case)]


_problems: dict[str, Problem] = {}


def problem_of(case: OpCase) -> Problem:
    """Return the problem of ``case`` on numbers that bfloat16 holds."""
    if case.name not in _problems:
        _problems[case.name] = rounded_problem(case, case.arrays(np.float64))
    return _problems[case.name]


@pytest.fixture(params=VECTOR)
def instruction_set(request: pytest.FixtureRequest) -> Iterator[None]:
    before = cpu.isa_name()
    cpu.set_isa(request.param)
    yield
    cpu.set_isa(before)


@pytest.mark.parametrize("case", IMAGE_CASES, ids=lambda case: case.name)
def test_results_are_within_the_rounding_bound(case: OpCase, instruction_set: None) -> None:
    problem = problem_of(case)
    bounds = bounds_of(case, problem.arrays, problem.grad)
    assert_within(run_images(case, problem), problem.expected, bounds)


@pytest.mark.parametrize("case", LARGE_IMAGE_CASES, ids=lambda case: case.name)
def test_threads_do_not_change_a_bit(case: OpCase) -> None:
    problem = problem_of(case)
    bounds = bounds_of(case, problem.arrays, problem.grad)
    before, results = cpu.num_threads(), []
    for threads in (1, 2, 5):
        vg.set_num_threads(threads)
        results.append(run_images(case, problem))
    vg.set_num_threads(before)
    assert_within(results[0], problem.expected, bounds)
    serial = [result.tobytes() for result in results[0]]
    assert all([r.tobytes() for r in threaded] == serial for threaded in results[1:])


def _close(result: np.ndarray, expected: np.ndarray) -> None:
    """Compare to one unit in the last place; special values must be the same."""
    with np.errstate(over="ignore"):
        nearest = expected.astype(np.float32).astype(BF16).astype(np.float32)
    np.testing.assert_allclose(result.astype(np.float32), nearest, rtol=2.0**-7, atol=2.0**-126)


@pytest.mark.parametrize("kind", KINDS)
def test_activations_of_special_values(kind: str, instruction_set: None) -> None:
    values = SPECIAL.astype(BF16)
    result, expected = np.empty_like(values), np.empty(values.shape)
    with np.errstate(all="ignore"):
        reference.activation_forward(kind, values.astype(np.float64), expected, 0.25)
    cpu.activation_forward(kind, values, result, 0.25)
    _close(result, expected)
    saved = result if kind in SAVES_OUTPUT else values
    grad, slope = np.full_like(values, 3.0), np.empty_like(values)
    with np.errstate(all="ignore"):
        wide = grad.astype(np.float64), saved.astype(np.float64)
        reference.activation_backward(kind, *wide, expected, 0.25)
    cpu.activation_backward(kind, grad, saved, slope, 0.25)
    np.testing.assert_allclose(
        slope.astype(np.float32), expected.astype(np.float32), rtol=2.0**-7, atol=3 * 2.0**-23
    )
    cpu.activation_backward(kind, grad, saved, grad, 0.25)  # in place
    np.testing.assert_array_equal(grad.view(np.uint16), slope.view(np.uint16))


@pytest.mark.parametrize("kind", ["add", "sub", "mul", "div", "maximum", "minimum"])
def test_binary_operations_of_special_values(kind: str, instruction_set: None) -> None:
    a, b = SPECIAL.astype(BF16).reshape(-1, 1), SPECIAL.astype(BF16).reshape(1, -1)
    result, expected = (np.empty((SPECIAL.size, SPECIAL.size), t) for t in (BF16, np.float64))
    with np.errstate(all="ignore"):
        reference.binary_forward(kind, a.astype(np.float64), b.astype(np.float64), expected)
    cpu.binary_forward(kind, a, b, result)
    _close(result, expected)


@pytest.mark.parametrize("channels", [1, 3, 16, 32, 67])
def test_first_maximum_and_first_nan_win(channels: int, instruction_set: None) -> None:
    rng = np.random.default_rng(0)
    values = np.array([0.0, 1.0, 1.0, -1.0, -INF, INF, NAN])
    image = rng.choice(values, (1, 9, 11, channels), p=[0.2, 0.2, 0.2, 0.1, 0.2, 0.05, 0.05])
    shape = (1, 5, 10, channels)
    results = []
    for backend, dtype in ((cpu, BF16), (reference, np.float64)):
        output, indices = np.empty(shape, dtype), np.empty(shape, np.uint8)
        backend.max_pool_forward(image.astype(dtype), output, indices, (3, 2), (2, 1), (1, 0))
        results.append((output.astype(np.float32), indices))
    for result, expected in zip(*results, strict=True):
        np.testing.assert_array_equal(result, expected)


def test_sums_of_bfloat16_may_be_float32() -> None:
    values = np.random.default_rng(1).standard_normal((70_001, 3)).astype(BF16)
    exact = values.astype(np.float64)
    total, same = np.empty((1, 3), np.float32), np.empty(values.shape, np.float32)
    cpu.reduce_sum(values, total, 0.5)
    # Summed in double, rounded once to float32.
    np.testing.assert_allclose(total[0], 0.5 * exact.sum(axis=0), rtol=2.0**-23)
    cpu.reduce_sum(values, same, 0.5)
    np.testing.assert_array_equal(same, 0.5 * exact)

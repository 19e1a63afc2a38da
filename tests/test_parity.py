"""The native float32 kernels against the float64 reference, under derived bounds."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from bounds import bounds_of
from comparison import assert_within
from op_case import OpCase
from op_cases import CASES, CONV_CASES, LARGE_CASES
from op_runs import problem_of, run_native, solve
from voxelgrad.backends import cpu


@pytest.mark.parametrize("case", [*CASES, *LARGE_CASES], ids=lambda case: case.name)
def test_output_and_gradients_are_within_the_rounding_bound(case: OpCase) -> None:
    problem = problem_of(case)
    bounds = bounds_of(case, problem.arrays, problem.grad)
    assert_within(run_native(case, problem), problem.expected, bounds)


@pytest.fixture
def direct_convolution() -> Iterator[None]:
    """No Winograd: its transforms have fractions."""
    cpu.set_conv_algorithm("direct")
    yield
    cpu.set_conv_algorithm("")


@pytest.mark.parametrize("case", CONV_CASES, ids=lambda case: case.name)
def test_direct_convolution_of_small_integers_is_exact(
    case: OpCase, direct_convolution: None
) -> None:
    rng = np.random.default_rng(1)
    integers = [None if a is None else rng.integers(-3, 4, a.shape) for a in case.arrays(float)]
    problem = solve(case, [None if a is None else a.astype(np.float64) for a in integers])
    for result, expected in zip(run_native(case, problem), problem.expected, strict=True):
        np.testing.assert_array_equal(result, expected)

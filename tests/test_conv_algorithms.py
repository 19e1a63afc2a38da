"""Every convolution algorithm that may be asked for by name, not only the first that accepts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bounds import bounds_of
from comparison import assert_within
from op_case import OpCase
from op_cases import CONV_CASES
from op_runs import problem_of, run_native
from voxelgrad.backends import cpu

CASES = [case for case in CONV_CASES if case.op != "linear"]


@pytest.fixture(params=["naive", "direct"])
def algorithm(request: pytest.FixtureRequest) -> Iterator[str]:
    cpu.set_conv_algorithm(request.param)
    yield request.param
    cpu.set_conv_algorithm("")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_general_algorithms_take_every_case(case: OpCase, algorithm: str) -> None:
    problem = problem_of(case)
    bounds = bounds_of(case, problem.arrays, problem.grad)
    assert_within(run_native(case, problem), problem.expected, bounds)


def test_an_unknown_algorithm_is_refused() -> None:
    with pytest.raises(ValueError, match="fastest"):
        cpu.set_conv_algorithm("fastest")

"""Gradients of convolutions whose output's gradient is mostly zeros, as behind a max-pool."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bounds import bounds_of
from comparison import assert_within
from conv_cases import conv_case
from garbage import memory_of_garbage
from instruction_sets import VECTOR, forced
from op_case import OpCase
from op_runs import Problem, evaluate, run_native, solve
from test_degenerate import small_integers
from voxelgrad.backends import cpu

CASES = [
    conv_case("conv", (16, 12, 10), (1, 6), (5, 5), padding=2),  # half a vector a row
    conv_case("conv", (9, 9, 8), (6, 16), (5, 5)),
    conv_case("conv", (8, 5, 6), (11, 37), (4, 5), padding=(1, 3)),  # four vectors, two words
    conv_case("conv", (11, 13), (5, 3), (3,), padding=1),
    conv_case("conv", (8, 17, 4), (2, 9), (9, 2), padding=(0, 1), bias=False),  # rows in parts
    conv_case("conv", (8, 1, 1), (2, 3), (3, 3), padding=1),
]


PASSES = {
    "data": lambda x, w, g, out: cpu.conv_backward_data(g, w, out, *SETTINGS),
    "weight": lambda x, w, g, out: cpu.conv_backward_weight(g, x, out, None, *SETTINGS),
}
SETTINGS = ((1, 1), (0, 0), (1, 1), 1)


def sparse_problem(case: OpCase, arrays: list[np.ndarray | None]) -> Problem:
    """Return a problem whose gradient is mostly zeros; the second image has nothing else."""
    dense = solve(case, arrays)
    kept = np.random.default_rng(5).random(dense.grad.shape) < 0.22
    kept[1] = False
    grad = dense.grad * kept
    return Problem(arrays, grad, evaluate(case, "reference", arrays, grad))


@pytest.mark.parametrize("isa", VECTOR)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_small_integers_are_exact(case: OpCase, isa: str) -> None:
    problem = sparse_problem(case, small_integers(case))
    with memory_of_garbage(), forced("direct", isa):
        results = run_native(case, problem)
    for result, expected in zip(results, problem.expected, strict=True):
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("isa", VECTOR)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_gradients_stay_within_the_bound_of_their_sums(case: OpCase, isa: str) -> None:
    problem = sparse_problem(case, case.arrays(np.float64))
    bounds = bounds_of(replace(case, family="monomial"), problem.arrays, problem.grad)
    with forced("direct", isa):
        assert_within(run_native(case, problem), problem.expected, bounds)


@pytest.mark.parametrize("isa", VECTOR)
@pytest.mark.parametrize("name", PASSES)
def test_zeros_are_not_multiplied(name: str, isa: str) -> None:
    """So infinities that meet nothing else leave no trace; with fewer zeros there is NaN."""
    x, w = np.full((8, 9, 9, 2), np.inf, np.float32), np.full((3, 5, 5, 2), np.inf, np.float32)
    grad = np.zeros((8, 5, 5, 3), np.float32)
    for share, finite in ((0.0, True), (0.6, False)):
        grad[np.random.default_rng(0).random(grad.shape) < share] = 1.0
        result = np.empty_like(x if name == "data" else w)
        with forced("direct", isa):
            PASSES[name](x, w, grad, result)
        assert np.all(result == 0.0) == finite


def test_threads_do_not_change_a_bit() -> None:
    rng, before = np.random.default_rng(6), cpu.num_threads()
    x, w = (rng.standard_normal(s, np.float32) for s in ((64, 14, 14, 6), (16, 5, 5, 6)))
    grad = rng.standard_normal((64, 10, 10, 16), np.float32)
    grad[rng.random(grad.shape) < 0.75] = 0.0
    results = []
    try:
        for threads in (1, 2, 5):
            cpu.set_num_threads(threads)
            outputs = {"data": np.empty_like(x), "weight": np.empty_like(w)}
            for name, run in PASSES.items():
                run(x, w, grad, outputs[name])
            results.append([array.tobytes() for array in outputs.values()])
    finally:
        cpu.set_num_threads(before)
    assert results[0] == results[1] == results[2]

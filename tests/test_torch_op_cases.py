"""Every op case against PyTorch: values and gradients, in float64 and in float32."""

from __future__ import annotations

import numpy as np
import pytest

import voxelgrad as vg
from bounds import bounds_of
from comparison import assert_within
from op_case import OpCase
from op_cases import CASES
from op_runs import problem_of, run_native
from torch_ops import NOT_IN_TORCH, TORCH, F, evaluate_with_torch, first, torch

REACHED = [case for case in CASES if case.op in TORCH]
DOUBLE = 2.0**-29
"""A rounding in float64 over one in float32: all bounds are multiples of it."""


@pytest.mark.parametrize("case", REACHED, ids=lambda case: case.name)
def test_the_reference_agrees_in_float64(case: OpCase) -> None:
    """Both sides are off by rounding errors, so they differ by twice the bound at the most."""
    problem = problem_of(case)
    bounds = bounds_of(case, problem.arrays, problem.grad)
    results = evaluate_with_torch(case, problem.arrays, problem.grad)
    doubled = [2.0 * DOUBLE * bound for bound in bounds]
    assert_within(results, problem.expected, doubled, np.float64)


@pytest.mark.parametrize("case", REACHED, ids=lambda case: case.name)
def test_the_kernels_agree_in_float32(case: OpCase) -> None:
    problem = problem_of(case)
    bounds = bounds_of(case, problem.arrays, problem.grad)
    results = evaluate_with_torch(case, *problem.in_float32())
    assert_within(results, run_native(case, problem), [2.0 * bound for bound in bounds])


def test_every_op_has_its_torch_form_or_a_reason() -> None:
    assert sorted([*TORCH, *NOT_IN_TORCH]) == sorted(vg.ops.__all__)
    assert {case.op for case in CASES} <= {*TORCH, "dropout"}


def test_running_statistics_follow_torch() -> None:
    rng = np.random.default_rng(20)
    mean, var = np.zeros(6), np.ones(6)
    t_mean, t_var = torch.zeros(6, dtype=torch.float64), torch.ones(6, dtype=torch.float64)
    for _ in range(3):
        x = rng.standard_normal((3, 4, 5, 6))
        vg.ops.batch_norm(vg.Tensor(x), mean, var, training=True, momentum=0.3)
        F.batch_norm(first(torch.from_numpy(x)), t_mean, t_var, training=True, momentum=0.3)
    np.testing.assert_allclose(mean, t_mean.numpy(), rtol=1e-12)
    np.testing.assert_allclose(var, t_var.numpy(), rtol=1e-12)


def test_operators_are_those_of_torch() -> None:
    array = np.random.default_rng(21).uniform(1.5, 3.0, 7)
    mine, other = vg.Tensor(array, requires_grad=True), torch.from_numpy(array).requires_grad_()
    results = [2.0 / (a * 3 - 1) + (1 - a) ** 2 - (-a) for a in (mine, other)]
    np.testing.assert_allclose(results[0].numpy(), results[1].detach().numpy(), rtol=1e-12)
    for result in results:
        result.sum().backward()
    assert mine.grad is not None
    np.testing.assert_allclose(mine.grad.numpy(), other.grad.numpy(), rtol=1e-12)

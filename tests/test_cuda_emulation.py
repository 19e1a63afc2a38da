"""The CUDA kernels against the float64 reference: their source, run on the host by an emulation.

What that proves and what not: cuda_emulation/emulation.hpp. On a machine with a device the same
cases run there: VOXELGRAD_TEST_CUDA=1 pytest tests/test_cuda_emulation.py.
"""

from __future__ import annotations

import numpy as np
import pytest

import bf16_bounds
from bounds import bounds_of
from comparison import assert_within
from cuda_device import backend, evaluate_on_device
from op_case import OpCase
from op_cases import CASES
from op_runs import problem_of
from test_bf16 import problem_of as bf16_problem_of
from voxelgrad.dtypes import BFLOAT16

# Ops all of whose functions the backend has; a new one is added with its kernels.
OPS = (
    *("relu", "leaky_relu", "elu", "sigmoid", "tanh", "softplus", "exp", "log", "sqrt", "abs"),
    *("square", "clip", "prelu", "add", "sub", "mul", "div", "sum", "mean"),
    *("concat", "pad", "crop", "getitem", "reshape", "transpose", "dropout"),
    *("softmax", "log_softmax", "cross_entropy", "focal_loss", "dice_loss", "dice_ce_loss"),
    *("binary_cross_entropy_with_logits", "mse_loss", "l1_loss"),
    *("max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d"),
    *("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d"),
    *("global_avg_pool", "global_max_pool", "interpolate"),
)

CUDA_CASES = [case for case in CASES if case.op in OPS]
CUDA_BF16_CASES = [case for case in CUDA_CASES if bf16_bounds.accepts(case)]


@pytest.mark.parametrize("case", CUDA_CASES, ids=lambda case: case.name)
def test_float32_is_within_the_rounding_bound(case: OpCase) -> None:
    problem = problem_of(case)
    bounds = bounds_of(case, problem.arrays, problem.grad)
    results = evaluate_on_device(case, *problem.in_float32())
    assert_within(results, problem.expected, bounds)


@pytest.mark.parametrize("case", CUDA_BF16_CASES, ids=lambda case: case.name)
def test_bfloat16_is_within_the_rounding_bound(case: OpCase) -> None:
    problem = bf16_problem_of(case)
    bounds = bf16_bounds.bounds_of(case, problem.arrays, problem.grad)
    arrays = [None if a is None else a.astype(BFLOAT16) for a in problem.arrays]
    results = evaluate_on_device(case, arrays, problem.grad.astype(BFLOAT16))
    assert {result.dtype for result in results} == {BFLOAT16}
    assert_within([r.astype(np.float32) for r in results], problem.expected, bounds)


def test_every_listed_op_has_cases(capsys: pytest.CaptureFixture[str]) -> None:
    everything = {case.op for case in CASES}
    assert set(OPS) <= everything
    with capsys.disabled():
        print(
            f"\nCUDA: {len(OPS)} of {len(everything)} ops, {len(CUDA_CASES)} cases in float32, "
            f"{len(CUDA_BF16_CASES)} in bfloat16; without kernels: "
            f"{', '.join(sorted(everything - set(OPS)))}"
        )


def test_results_repeat_bit_for_bit() -> None:
    cuda = backend()
    values = np.random.default_rng(0).standard_normal((5, 3001, 7)).astype(np.float32)
    totals = []
    for _ in range(2):
        output = cuda.empty((5, 1, 7), np.float32)
        cuda.reduce_sum(cuda.from_host(values), output, 1.0)
        totals.append(cuda.to_host(output))
    assert totals[0].tobytes() == totals[1].tobytes()
    np.testing.assert_allclose(totals[0][:, 0], values.sum(1, dtype=np.float64), rtol=1e-4)

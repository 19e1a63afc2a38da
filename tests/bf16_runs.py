"""Cases on bfloat16 images: how they are run; how far convolutions may be off."""

from __future__ import annotations

import ml_dtypes
import numpy as np

from bounds import convolution, monomial
from op_case import OpCase
from op_runs import Problem, evaluate, solve

BF16 = ml_dtypes.bfloat16
STORE = 2.0**-8
"""Relative error of one rounding to bfloat16, which holds 8 binary digits."""


def rounded_problem(case: OpCase, arrays: list[np.ndarray | None]) -> Problem:
    """Return the case on numbers that bfloat16 holds, so that weights are not rounded again."""
    return solve(case, [None if a is None else a.astype(BF16).astype(np.float64) for a in arrays])


def run_bf16(case: OpCase, problem: Problem) -> list[np.ndarray]:
    """Return output and gradients; images are bfloat16, parameters float32."""
    image, *parameters = problem.in_float32()[0]
    assert image is not None
    results = evaluate(case, "cpu", [image.astype(BF16), *parameters], problem.grad.astype(BF16))
    output, grad_input, *learned = results
    assert output.dtype == grad_input.dtype == BF16
    return [output.astype(np.float32), grad_input.astype(np.float32), *learned]


def run_images(case: OpCase, problem: Problem) -> list[np.ndarray]:
    """Return what the native kernels make of a problem all of whose arrays are bfloat16."""
    arrays = [None if a is None else a.astype(BF16) for a in problem.arrays]
    results = evaluate(case, "cpu", arrays, problem.grad.astype(BF16))
    assert {result.dtype for result in results} == {np.dtype(BF16)}
    return [result.astype(np.float32) for result in results]


def convolution_bounds(case: OpCase, problem: Problem, winograd: bool) -> list[np.ndarray]:
    """Sums in float32 (products of bfloat16 are exact in it), then images are rounded once.

    Args:
        case: A convolution or a linear layer.
        problem: It on numbers that bfloat16 holds.
        winograd: Whether Winograd's algorithm may do the sums, in float32 frequencies.
    """
    family = convolution if winograd else monomial
    sums = family(case, problem.arrays, problem.grad)
    images = [
        bound + STORE * (np.abs(exact) + bound)
        for bound, exact in zip(sums[:2], problem.expected[:2], strict=True)
    ]
    return [*images, *sums[2:]]

"""The weight gradient of 3x3 kernels between few and more channels: frequencies of F(3x3, 2x2).

Its transforms are sums and differences, and halves at the end: on small integers it is exact.
"""

from __future__ import annotations

import numpy as np
import pytest

from bf16_runs import rounded_problem, run_bf16
from bounds import bounds_of
from comparison import assert_within
from conv_cases import conv_case
from instruction_sets import VECTOR, forced
from op_case import OpCase
from op_runs import problem_of, run_native
from rounding import gamma
from test_degenerate import small_integers, solve
from voxelgrad.backends import cpu
from winograd_bounds import as_three_dimensional

CASES = [
    conv_case("conv", (2, 12, 33), (4, 32), (3, 3), padding=1),  # an odd column
    conv_case("conv", (1, 7, 8), (3, 41), (3, 3)),  # an odd row, two vectors and a part of one
    conv_case("conv", (1, 9, 70), (1, 16), (3, 3), padding=2, bias=False),
    conv_case("conv", (1, 5, 6, 7), (2, 20), (3, 3, 3), padding=1),
    conv_case("conv", (1, 6, 9, 4), (6, 12), (5, 3, 3), padding=(2, 0, 1)),
    conv_case("conv", (2, 6, 5), (8, 13), (3, 3), padding=1),
    conv_case("conv", (1, 90, 90), (5, 12), (3, 3), padding=1),  # more than one chunk
    conv_case("conv", (1, 6, 9, 10), (4, 20), (3, 3, 3), padding=1),
    conv_case("conv_transpose", (2, 9, 6), (17, 4), (3, 3), padding=1),
    conv_case("conv_transpose", (1, 4, 5, 6), (16, 3), (3, 3, 3)),
]


def sums_of_neighbours(x: np.ndarray, axis: int, window: int) -> np.ndarray:
    """Return the sums of ``window`` neighbours each along an axis."""
    return np.lib.stride_tricks.sliding_window_view(x, window, axis).sum(-1)


def weight_bound(x: np.ndarray, grad: np.ndarray, taps: int) -> np.ndarray:
    """Bound the error of a weight gradient (K, kd, 3, 3, C): no tap sees more than its frequencies.

    Each product of frequencies is at most one of sums over 4 x 4 source and 2 x 2 target values,
    and each tap adds at most 3 x 3 of them; 6 additions make them, n pairs of rows and columns are
    added, and 4 additions make a tap.
    """
    x, grad = np.abs(x), np.abs(grad)
    odd = [n % 2 for n in grad.shape[2:4]]
    more = [(0, 0), (0, 0), *((0, n) for n in odd), (0, 0)]
    x, grad = np.pad(x, more), np.pad(grad, more)
    for axis in (2, 3):
        x = sums_of_neighbours(x, axis, 4)
        grad = sums_of_neighbours(grad, axis, 2)
    x, grad = x[:, :, ::2, ::2], grad[:, :, ::2, ::2]
    depth = grad.shape[1]
    total = [np.einsum("ndhwc,ndhwk->kc", x[:, t : t + depth], grad) for t in range(taps)]
    pairs = grad.size // grad.shape[-1]
    return 9 * gamma(pairs + 10) * np.stack(total, 1)[:, :, None, None]


@pytest.mark.parametrize("isa", VECTOR)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_small_integers_have_an_exact_weight_gradient(case: OpCase, isa: str) -> None:
    problem = solve(case, small_integers(case))
    with forced("thin", isa):
        results = run_native(case, problem)
    for result, expected in zip(results[2:], problem.expected[2:], strict=True):
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("isa", VECTOR)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_pass_stays_within_the_bound(case: OpCase, isa: str) -> None:
    problem = problem_of(case)
    with forced("thin", isa):
        assert_within(
            run_native(case, problem),
            problem.expected,
            bounds_of(case, problem.arrays, problem.grad),
        )


def test_forward_takes_winograds_transforms_where_they_save() -> None:
    """Three channels are enough with taps in depth, without them six."""
    for channels, kernel, other in [
        (3, (3, 3, 3), "winograd"),
        (2, (3, 3, 3), "direct"),
        (6, (3, 3), "winograd"),
        (5, (3, 3), "direct"),
    ]:
        case = conv_case("conv", (1, 9, 8, 7)[: len(kernel) + 1], (channels, 16), kernel, padding=1)
        problem = problem_of(case)
        with forced("thin", cpu.isa_name()):
            thin = run_native(case, problem)
        with forced(other, cpu.isa_name()):
            same = run_native(case, problem)
        np.testing.assert_array_equal(thin[0], same[0])
        np.testing.assert_array_equal(thin[1], same[1])


@pytest.mark.parametrize("isa", VECTOR)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_weight_gradient_stays_within_the_bound_of_its_transforms(
    case: OpCase, isa: str
) -> None:
    problem = problem_of(case)
    x, w, grad, padding = as_three_dimensional(case, problem.arrays, problem.grad)
    x = np.pad(x, [(0, 0), *((p, p) for p in padding), (0, 0)])
    bound = weight_bound(x, grad, w.shape[1])
    expected = problem.expected[2]
    if case.op.startswith("conv_transpose"):
        bound = np.flip(bound, (1, 2, 3))
    shape = expected.shape if expected.ndim == 5 else (expected.shape[0], 1, *expected.shape[1:])
    bound = np.broadcast_to(bound, shape).reshape(expected.shape)
    with forced("thin", isa):
        result = run_native(case, problem)[2]
    assert_within([result], [expected], [bound])


@pytest.mark.parametrize("isa", VECTOR)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bfloat16_images_give_the_weight_gradient_of_their_values_in_float32(
    case: OpCase, isa: str
) -> None:
    problem = rounded_problem(case, case.arrays(np.float64))
    with forced("thin", isa):
        grad_weight, expected = run_bf16(case, problem)[2], run_native(case, problem)[2]
    np.testing.assert_array_equal(grad_weight, expected)

"""Cases drawn by Hypothesis: native kernels against the float64 reference, under derived bounds.

What an op takes for its results holds NaN before, so that elements nobody writes are seen. With
``pytest -m hours tests/test_drawn_ops.py`` every op is drawn ten thousand times.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

import bf16_bounds
import bounds
import voxelgrad as vg
from bf16_runs import BF16, convolution_bounds, rounded_problem, run_bf16, run_images
from comparison import assert_within
from drawn_cases import CONVOLUTIONS, DRAWN, NOT_DRAWN
from drawn_spatial import Cases, convolutions
from garbage import memory_of_garbage
from instruction_sets import ALL, VECTOR, forced
from op_case import Arg, OpCase
from op_runs import Problem, evaluate, run_native, solve
from winograd_bounds import FORMS, accepts

FEW, MANY = 15, 10_000
JOINED = ("conv1d", "conv2d", "conv3d")
OF_IMAGES = [
    *("relu", "leaky_relu", "elu", "sigmoid", "tanh", "softplus", "exp", "log", "sqrt", "abs"),
    *("square", "clip", "add", "sub", "mul", "div", "matmul", "sum", "mean", "dropout"),
    *("concat", "pad", "crop", "getitem", "reshape", "transpose", "interpolate", "resample"),
    *(op for op in DRAWN if "_pool" in op),
]
"""Ops whose arguments may all be bfloat16."""


@dataclass(frozen=True)
class Drawn:
    """A case, its numbers, and how it is run."""

    case: OpCase
    seed: int
    isa: str
    algorithm: str = ""

    def arrays(self) -> list[np.ndarray | None]:
        rng = np.random.default_rng(self.seed)
        return [None if arg is None else arg.make(rng, np.float64) for arg in self.case.args]


Check = Callable[[Drawn], None]
JoinedRun = tuple[Drawn, OpCase, Any]
"""A run, its case with the image in parts, and the images' format."""


def _is_depthwise(case: OpCase) -> bool:
    groups = case.params.get("groups", 1)
    channels = {case.args[0].shape[-1], case.args[1].shape[0]}
    return groups > 1 and channels == {groups}


def _algorithms(case: OpCase) -> list[str]:
    """Return the float32 algorithms that take ``case``; the first name lets the library choose."""
    names = ["", "naive", "direct"]
    if accepts(case):
        names += [*FORMS, "thin"]
    if _is_depthwise(case):
        names.append("depthwise")
    return names


def _bf16_algorithms(case: OpCase) -> list[str]:
    return ["", "tile", "widened", *([*FORMS, "thin"] if accepts(case) else [])]


@st.composite
def runs(
    draw: Callable[..., Any], op: str, in_bf16: bool = False, cases: Cases | None = None
) -> Drawn:
    """Draw a case of ``op``, an instruction set and, for convolution, an algorithm."""
    case = draw(DRAWN[op] if cases is None else cases)
    names = [""]
    if op in CONVOLUTIONS:
        names = _bf16_algorithms(case) if in_bf16 else _algorithms(case)
    isa = draw(st.sampled_from(ALL if in_bf16 and op in CONVOLUTIONS else VECTOR))
    return Drawn(case, draw(st.integers(0, 2**32 - 1)), isa, draw(st.sampled_from(names)))


@st.composite
def joined_runs(draw: Callable[..., Any], op: str, in_bf16: bool) -> JoinedRun:
    """Draw a run; in half of them the parts are blocks that some algorithms read in place."""
    in_blocks = draw(st.booleans())
    cases = convolutions(int(op[4]), in_blocks).filter(lambda case: case.args[0].shape[-1] > 1)
    drawn = draw(runs(op, in_bf16, cases))
    image, *parameters = drawn.case.args
    channels = image.shape[-1]
    cuts = st.sampled_from((16, 32)) if in_blocks else st.integers(1, channels - 1)
    ends = [0, *sorted(draw(st.sets(cuts, min_size=1, max_size=3))), channels]
    parts = (Arg((*image.shape[:-1], b - a)) for a, b in pairwise(ends))
    joined = replace(drawn.case, args=(*parts, *parameters), joined=len(ends) - 1)
    return drawn, joined, BF16 if in_bf16 else np.float32


def _bounds(
    case: OpCase,
    problem: Problem,
    algorithm: str,
    bounds_of: Callable[..., list[np.ndarray]] = bounds.bounds_of,
) -> list[np.ndarray]:
    """Return the largest errors; none where there is nothing to compute from."""
    if problem.grad.size == 0:
        return [np.zeros_like(exact) for exact in problem.expected]
    if case.family == "convolution" and algorithm not in ("", *FORMS, "thin"):
        case = replace(case, family="monomial")
    return bounds_of(case, problem.arrays, problem.grad)


def check(drawn: Drawn) -> None:
    with memory_of_garbage():
        problem = solve(drawn.case, drawn.arrays())
        allowed = _bounds(drawn.case, problem, drawn.algorithm)
        with forced(drawn.algorithm, drawn.isa):
            results = run_native(drawn.case, problem)
    assert_within(results, problem.expected, allowed)


def check_convolution_in_bf16(drawn: Drawn) -> None:
    with memory_of_garbage():
        problem = rounded_problem(drawn.case, drawn.arrays())
        allowed = convolution_bounds(drawn.case, problem, winograd=drawn.algorithm != "tile")
        with forced(drawn.algorithm, drawn.isa):
            results = run_bf16(drawn.case, problem)
    assert_within(results, problem.expected, allowed)


def check_images_in_bf16(drawn: Drawn) -> None:
    assume(bf16_bounds.accepts(drawn.case))
    with memory_of_garbage():
        problem = rounded_problem(drawn.case, drawn.arrays())
        allowed = _bounds(drawn.case, problem, "", bf16_bounds.bounds_of)
        with forced("", drawn.isa):
            results = run_images(drawn.case, problem)
    assert_within(results, problem.expected, allowed)


def check_joined(run: JoinedRun) -> None:
    drawn, joined, dtype = run
    problem = (rounded_problem if dtype == BF16 else solve)(drawn.case, drawn.arrays())
    (image, *parameters), grad = problem.in_float32()
    assert image is not None
    image, grad = image.astype(dtype), grad.astype(dtype)
    cuts = np.cumsum([part.shape[-1] for part in joined.args[: joined.joined] if part])[:-1]
    parts = np.split(image, cuts, axis=-1)
    with memory_of_garbage(), forced(drawn.algorithm, drawn.isa):
        output, grad_image, *learned = evaluate(drawn.case, "cpu", [image, *parameters], grad)
        results = evaluate(joined, "cpu", [*parts, *parameters], grad)
    expected = [output, *np.split(grad_image, cuts, axis=-1), *learned]
    for result, wanted in zip(results, expected, strict=True):
        assert result.tobytes() == wanted.tobytes()


def draw_and_check(strategy: Any, body: Callable[[Any], None], examples: int) -> None:
    """Run ``body`` on that many examples, the same ones every time."""
    repeatable = settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
    )
    repeatable(given(strategy)(body))()


IN_BF16 = [
    *((op, check_convolution_in_bf16) for op in CONVOLUTIONS),
    *((op, check_images_in_bf16) for op in OF_IMAGES),
]


@pytest.mark.parametrize("op", DRAWN)
def test_drawn_cases_are_within_the_rounding_bound(op: str) -> None:
    draw_and_check(runs(op), check, FEW)


@pytest.mark.parametrize(("op", "check"), IN_BF16, ids=[op for op, _ in IN_BF16])
def test_drawn_images_of_bfloat16_are_within_the_rounding_bound(op: str, check: Check) -> None:
    draw_and_check(runs(op, in_bf16=True), check, FEW)


@pytest.mark.parametrize("in_bf16", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("op", JOINED)
def test_drawn_joined_convolutions_have_the_bits_of_the_whole_image(op: str, in_bf16: bool) -> None:
    draw_and_check(joined_runs(op, in_bf16), check_joined, 4 * FEW)


@pytest.mark.long
@pytest.mark.hours
@pytest.mark.parametrize("op", DRAWN)
def test_many_drawn_cases_are_within_the_rounding_bound(op: str) -> None:
    draw_and_check(runs(op), check, MANY)


@pytest.mark.long
@pytest.mark.hours
@pytest.mark.parametrize(("op", "check"), IN_BF16, ids=[op for op, _ in IN_BF16])
def test_many_drawn_images_of_bfloat16_are_within_the_rounding_bound(op: str, check: Check) -> None:
    draw_and_check(runs(op, in_bf16=True), check, MANY)


@pytest.mark.long
@pytest.mark.hours
@pytest.mark.parametrize("in_bf16", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("op", JOINED)
def test_many_drawn_joined_convolutions_have_the_bits_of_the_whole_image(
    op: str, in_bf16: bool
) -> None:
    draw_and_check(joined_runs(op, in_bf16), check_joined, MANY)


def test_every_op_is_drawn_or_has_a_reason_not_to() -> None:
    assert sorted([*DRAWN, *NOT_DRAWN]) == sorted(vg.ops.__all__)

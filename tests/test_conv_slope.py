"""The activation that convolutions and linear layers apply as they write, in every algorithm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import voxelgrad as vg
from bf16_runs import BF16
from conv_cases import conv_case
from instruction_sets import ALL, VECTOR, forced
from op_case import OpCase
from op_cases import CONV_CASES
from op_runs import apply
from test_conv_algorithms import WINOGRAD_CASES
from voxelgrad import backends
from voxelgrad.backends import cpu, reference
from winograd_bounds import FORMS

LAYERS = ("conv_forward", "conv_transpose_forward", "linear_forward")
LARGE = conv_case("conv", (1, 180, 200), (5, 128), (3, 3), padding=1)  # written past the cache


def is_depthwise(case: OpCase) -> bool:
    groups, weight = case.params.get("groups", 1), case.args[1].shape
    return groups > 1 and weight[0] == groups and weight[-1] == 1


HEADS = [
    conv_case("conv", (1, 3, 11), (channels, targets), (1, 1))
    for channels in (3, 41)
    for targets in range(1, 9)
]
FLOAT32 = [
    *(("naive", case) for case in CONV_CASES[::5]),
    *(("direct", case) for case in [*CONV_CASES, LARGE]),
    *((name, case) for name in FORMS for case in WINOGRAD_CASES),
    *(("head", case) for case in HEADS),
    *(("depthwise", case) for case in CONV_CASES if is_depthwise(case)),
]
BFLOAT16 = [
    *(("head", case) for case in HEADS),
    *(("tile", case) for case in CONV_CASES),
    *((name, case) for name in FORMS for case in WINOGRAD_CASES),
    *(("widened", case) for case in CONV_CASES[::7]),
]


class Sloped:
    """A backend whose layers end with a slope."""

    def __init__(self, backend: Any, slope: float) -> None:
        self._backend, self._slope = backend, slope

    def __getattr__(self, name: str) -> Callable[..., Any]:
        function = getattr(self._backend, name)
        if name not in LAYERS:
            return function
        return lambda *values: function(*values[:-1], self._slope)


def run(case: OpCase, arrays: list[np.ndarray | None], slope: float) -> np.ndarray:
    """Return the output of ``case``, computed by layers that end with ``slope``."""
    backend = reference if arrays[0].dtype == np.float64 else cpu
    with backends.record(Sloped(backend, slope)), vg.no_grad():
        output = apply(case, [a if a is None else vg.Tensor(a) for a in arrays])
    return output.numpy()


def bent(array: np.ndarray, slope: float) -> np.ndarray:
    negative = np.zeros_like(array) if slope == 0 else array * array.dtype.type(slope)
    return np.where(array < 0, negative, array)


@pytest.mark.parametrize("isa", VECTOR)
@pytest.mark.parametrize(("algorithm", "case"), FLOAT32, ids=lambda v: getattr(v, "name", v))
def test_the_slope_gives_the_bits_of_the_activation(algorithm: str, case: OpCase, isa: str) -> None:
    arrays = case.arrays(np.float32)
    with forced("" if case.op == "linear" and len(arrays[0]) == 1 else algorithm, isa):
        plain = run(case, arrays, 1.0)
        assert (plain < 0).any() or plain.size < 20 or not plain.any()
        for slope in (0.0, 0.3):
            assert run(case, arrays, slope).tobytes() == bent(plain, slope).tobytes()


@pytest.mark.parametrize("isa", ALL)
@pytest.mark.parametrize(("algorithm", "case"), BFLOAT16, ids=lambda v: getattr(v, "name", v))
def test_bfloat16_is_rounded_after_the_slope(algorithm: str, case: OpCase, isa: str) -> None:
    """A quarter of a number is rounded as the number is."""
    first, *rest = case.arrays(np.float32)
    arrays = [first.astype(BF16), *rest]
    with forced(algorithm, isa):
        plain = run(case, arrays, 1.0).astype(np.float32)
        for slope in (0.0, 0.25):
            result = run(case, arrays, slope).astype(np.float32)
            np.testing.assert_array_equal(result, bent(plain, slope))


@pytest.mark.parametrize("case", CONV_CASES[::9], ids=lambda case: case.name)
def test_the_reference_does_the_same(case: OpCase) -> None:
    arrays = case.arrays(np.float64)
    for slope in (0.0, 0.3):
        expected = bent(run(case, arrays, 1.0), slope)
        assert run(case, arrays, slope).tobytes() == expected.tobytes()


@pytest.mark.parametrize("backend", [cpu, reference])
@pytest.mark.parametrize("rows", [1, 3])
def test_infinity_and_nan_pass_as_through_the_activation(backend: Any, rows: int) -> None:
    dtype = np.float64 if backend is reference else np.float32
    input = np.full((rows, 1), np.inf, dtype)
    weight = np.array([[-1.0], [1.0], [np.nan]], dtype)
    for slope, lowest in ((0.0, 0.0), (0.5, -np.inf), (1.0, -np.inf)):
        output = np.empty((rows, 3), dtype)
        backend.linear_forward(input, weight, None, output, slope)
        np.testing.assert_array_equal(output, [[lowest, np.inf, np.nan]] * rows)

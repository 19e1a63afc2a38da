"""Running an op case: forward, then backward from a given gradient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import voxelgrad as vg
from op_case import OpCase
from voxelgrad import backends

SEED = 7


def apply(case: OpCase, values: list) -> vg.Tensor:
    """Call the op of ``case`` on tensors (and arrays that are constants)."""
    op = getattr(vg.ops, case.op)
    vg.manual_seed(SEED)
    if case.listed:
        return op(values, **case.params)
    if case.joined:
        images = [v if isinstance(v, vg.Tensor) else vg.Tensor(v) for v in values[: case.joined]]
        values = [images, *values[case.joined :]]
    count = len(values) - len(case.keywords)
    named = dict(zip(case.keywords, values[count:], strict=True))
    return op(*values[:count], *case.settings, **named, **case.params)


def _wrap(case: OpCase, arrays: list[np.ndarray | None]) -> list:
    """Return the arguments: tensors that want gradients, and copies of the constants."""
    return [
        None if array is None else array.copy() if arg.is_constant else vg.Tensor(array, True)
        for arg, array in zip(case.args, arrays, strict=True)
    ]


def evaluate(
    case: OpCase, backend: str, arrays: list[np.ndarray | None], grad: np.ndarray
) -> list[np.ndarray]:
    """Return the output of ``case`` and the gradients of its differentiable arguments."""
    with backends.use(backend):
        values = _wrap(case, arrays)
        output = apply(case, values)
        output.backward(grad)
    grads = [v.grad.numpy() for v in values if isinstance(v, vg.Tensor)]
    return [np.array(output.numpy()), *grads]


@dataclass(frozen=True)
class Problem:
    """The numbers of a case: what every backend is given, and what the reference makes of it."""

    arrays: list[np.ndarray | None]
    grad: np.ndarray
    expected: list[np.ndarray]

    def in_float32(self) -> tuple[list[np.ndarray | None], np.ndarray]:
        """Return arrays and gradient as the native kernels take them (exact: they fit)."""
        return [_to_float32(a) for a in self.arrays], self.grad.astype(np.float32)


def _to_float32(array: np.ndarray | None) -> np.ndarray | None:
    if array is None or array.dtype.kind == "i":
        return array
    return array.astype(np.float32)


def solve(case: OpCase, arrays: list[np.ndarray | None]) -> Problem:
    """Return the problem of ``case`` on float64 ``arrays`` with a gradient of small integers."""
    with backends.use("reference"), vg.no_grad():
        shape = apply(case, _wrap(case, arrays)).shape
    rng = np.random.default_rng(len(case.name))
    grad = rng.integers(-4, 5, shape).astype(np.float64) + (0.0 if shape else 9.0)
    return Problem(arrays, grad, evaluate(case, "reference", arrays, grad))


_problems: dict[str, Problem] = {}


def problem_of(case: OpCase) -> Problem:
    """Return the problem of ``case``; several test modules share it."""
    if case.name not in _problems:
        _problems[case.name] = solve(case, case.arrays(np.float64))
    return _problems[case.name]


def run_native(case: OpCase, problem: Problem) -> list[np.ndarray]:
    """Return what the native kernels make of ``problem``."""
    return evaluate(case, "cpu", *problem.in_float32())

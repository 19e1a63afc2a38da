"""Run every op case with all arrays before a page that must not be touched (a script).

An access behind the end of an array, even of one float, ends the process with a segmentation fault;
the last line of its output is then the case that did it. Arguments: the instruction set, and
optionally a part of the case names to run.
"""

from __future__ import annotations

import ctypes
import math
import mmap
import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike

import bf16_bounds
from op_case import OpCase
from op_cases import CASES
from op_runs import evaluate, problem_of
from voxelgrad.backends import cpu
from voxelgrad.dtypes import BFLOAT16, is_floating

PAGE = mmap.PAGESIZE
_libc = ctypes.CDLL(None, use_errno=True)


def guarded_empty(shape: Sequence[int], dtype: DTypeLike = np.float32) -> np.ndarray:
    """Return an array that ends where an inaccessible page begins; NaN (or -1) all over."""
    kind = np.dtype(dtype)
    size = math.prod(shape) * kind.itemsize
    pages = -(-size // PAGE)
    block = mmap.mmap(-1, (pages + 1) * PAGE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(block))
    guard = ctypes.c_void_p(address + pages * PAGE)
    if _libc.mprotect(guard, ctypes.c_size_t(PAGE), 0) != 0:
        raise OSError(ctypes.get_errno(), "mprotect")
    array = np.frombuffer(block, np.uint8, size, pages * PAGE - size).view(kind).reshape(shape)
    array.fill(np.nan if is_floating(kind) else np.array(-1).astype(kind))
    return array


def guarded_copy(array: np.ndarray | None) -> np.ndarray | None:
    if array is None:
        return None
    copy = guarded_empty(array.shape, array.dtype)
    copy[...] = array
    return copy


def _run(case: OpCase, arrays: list[np.ndarray | None], grad: np.ndarray) -> None:
    results = evaluate(case, "cpu", [guarded_copy(a) for a in arrays], guarded_copy(grad))
    if not all(np.isfinite(result).all() for result in results):
        raise SystemExit(f"{case.name}: elements were left unset")


def main() -> None:
    """Run the cases, on bfloat16 too where all arrays may be.

    Every result must be finite, as outputs start as NaN.
    """
    cpu.set_isa(sys.argv[1])
    wanted = sys.argv[2] if len(sys.argv) > 2 else ""
    problems = [(case, problem_of(case)) for case in CASES if wanted in case.name]
    cpu.empty = guarded_empty
    for case, problem in problems:
        print(case.name, flush=True)
        arrays, grad = problem.in_float32()
        _run(case, arrays, grad)
        if bf16_bounds.accepts(case):
            _run(case, [a.astype(BFLOAT16) for a in arrays], grad.astype(BFLOAT16))
    print("done")


if __name__ == "__main__":
    main()

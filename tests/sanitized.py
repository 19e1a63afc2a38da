"""The small subset of the CUDA cases that compute-sanitizer runs (docs/cuda.md)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from op_case import OpCase


def sanitized_ends(cases: Iterable[OpCase]) -> list[Any]:
    """Return the cases as parameters; the first and the last of every op are marked sanitized."""
    by_op: dict[str, list[OpCase]] = {}
    for case in cases:
        by_op.setdefault(case.op, []).append(case)
    return [
        pytest.param(case, marks=pytest.mark.sanitized if case in (group[0], group[-1]) else ())
        for group in by_op.values()
        for case in group
    ]

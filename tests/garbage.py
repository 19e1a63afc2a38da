"""Memory that holds garbage before an op writes its results: what nobody writes is then seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np

from voxelgrad.backends import cpu, reference


def _garbage(empty: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    def filled(shape: Sequence[int], dtype: Any = np.float32) -> np.ndarray:
        array = empty(shape, dtype)
        array.fill(77 if array.dtype.kind in "iu" else np.nan)
        return array

    return filled


@contextmanager
def memory_of_garbage() -> Iterator[None]:
    """Let both backends give out arrays of NaN (of 77, if they are integers)."""
    with (
        patch.object(cpu, "empty", _garbage(cpu.empty)),
        patch.object(reference, "empty", _garbage(reference.empty)),
    ):
        yield

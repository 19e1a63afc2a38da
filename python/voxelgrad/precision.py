"""Mixed precision: ``with autocast("bfloat16")`` computes images in bfloat16, thread by thread."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any

import numpy as np

from voxelgrad.dtypes import BFLOAT16, FLOAT32, as_dtype


class _Mode(threading.local):
    """What float32 inputs of convolutions and linear layers become; None leaves them alone."""

    dtype: np.dtype[Any] | None = None


mode = _Mode()


class autocast:
    """Compute convolutions and linear layers in a shorter format inside the ``with`` block.

    Their float32 inputs are rounded to bfloat16, and what follows keeps that format: norms,
    activations, pooling. Parameters, statistics, sums, losses and the gradients of parameters stay
    float32. Wrap the forward pass and the loss; the backward pass follows the formats of the
    forward pass.

    Args:
        dtype: "bfloat16", or "float32" to switch autocast off inside an outer block.

    Raises:
        ValueError: If it is another format.
    """

    def __init__(self, dtype: Any = "bfloat16") -> None:
        wanted = as_dtype("autocast", dtype)
        if wanted not in (BFLOAT16, FLOAT32):
            raise ValueError(f"autocast: dtype is {dtype!r}; choose bfloat16 or float32")
        self._dtype = None if wanted == FLOAT32 else wanted

    def __enter__(self) -> None:
        self._previous = mode.dtype
        mode.dtype = self._dtype

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        mode.dtype = self._previous

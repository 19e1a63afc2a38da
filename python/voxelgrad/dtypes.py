"""The number formats of tensors: float32, float64 for checks, bfloat16 to move fewer bytes."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

FLOAT32 = np.dtype(np.float32)
FLOAT64 = np.dtype(np.float64)
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
"""float32 cut to 16 bits: its range, but two to three digits only."""

_NAMED: dict[str, np.dtype[Any]] = {
    "float32": FLOAT32,
    "float64": FLOAT64,
    "bfloat16": BFLOAT16,
    "bf16": BFLOAT16,
}


def as_dtype(owner: str, dtype: Any) -> np.dtype[Any]:
    """Return a format given by name, or as numpy takes it.

    Raises:
        ValueError: If it is none of float32, float64 and bfloat16.
        TypeError: If numpy knows no such format.
    """
    name: str = dtype if isinstance(dtype, str) else np.dtype(dtype).name
    if name not in _NAMED:
        raise ValueError(f"{owner}: dtype is {dtype!r}; choose float32, float64 or bfloat16")
    return _NAMED[name]


def is_floating(dtype: np.dtype[Any]) -> bool:
    """Return whether gradients can flow through numbers of this format."""
    return dtype.kind == "f" or dtype == BFLOAT16


def parameter_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the format of parameters and statistics beside images of ``dtype``.

    Images may be bfloat16; what is learned or summed stays float32.
    """
    return FLOAT32 if dtype == BFLOAT16 else dtype

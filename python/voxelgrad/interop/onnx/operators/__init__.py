"""The operators that are understood, one table a family, and which inputs are weights."""

from __future__ import annotations

from voxelgrad.interop.onnx.call import Handler
from voxelgrad.interop.onnx.operators import (
    activation,
    arithmetic,
    composed,
    conv,
    convert,
    index,
    linear,
    loss,
    norm,
    pool,
    reduction,
    resize,
    shape,
)

_FAMILIES = (
    activation,
    arithmetic,
    composed,
    conv,
    convert,
    index,
    linear,
    loss,
    norm,
    pool,
    reduction,
    resize,
    shape,
)

OPERATORS: dict[str, Handler] = {
    name: handler for family in _FAMILIES for name, handler in family.OPERATORS.items()
}
"""Operator -> the function that runs it on a ``Call``."""

"""How far a result stored as bfloat16 may be from the exact one.

Kernels widen bfloat16 to float32, compute as they do on float32, and round what they store to the
nearest: bfloat16 holds 8 binary digits, so one rounding has a relative error of at most
``U = 2^-8``. The exact result is that of the float64 reference on the same bfloat16 numbers.

Where a result of several steps is stored between them, each store rounds once; and where a gradient
is computed from a stored output, that output's rounding counts as well.
"""

from __future__ import annotations

import math

import numpy as np

import bounds
from op_case import OpCase
from rounding import Arrays, Bounds

U = 2.0**-8

# The most stores between the inputs and a gradient: products are stored, then summed; the gradient
# of a divisor is a product of the stored output and a stored quotient.
STORES_OF_GRADIENTS = {"mul": 2, "div": 4}


def stored(bound: np.ndarray, size: np.ndarray, stores: int = 1) -> np.ndarray:
    """Return the bound of a result after ``stores`` roundings to bfloat16.

    Args:
        bound: Of the result in float32.
        size: The result's absolute value; of a sum that is rounded in parts, the sum of theirs.
        stores: How often it was rounded.
    """
    return bound + ((1.0 + U) ** stores - 1.0) * (np.abs(size) + bound)


def _stores(case: OpCase, arrays: Arrays) -> int:
    """Return how often a gradient was stored: matrices of a stack add theirs one by one."""
    if case.op != "matmul":
        return STORES_OF_GRADIENTS.get(case.op, 1)
    return 1 + math.prod(np.broadcast_shapes(*(array.shape[:-2] for array in arrays)))


def monomial(case: OpCase, arrays: Arrays, grad: np.ndarray) -> Bounds:
    """A sum of products: the sizes are those of its terms, as the bounds in float32 are."""
    output, *grads = bounds.monomial(case, arrays, grad)
    exact, *sizes = bounds.majorant(case, arrays, grad)
    stores = [_stores(case, arrays)] * len(grads)
    return [stored(output, exact), *map(stored, grads, sizes, stores)]


def selection(case: OpCase, arrays: Arrays, grad: np.ndarray) -> Bounds:
    """Exact, except for gradients that are sums; those of a padding are stored after each axis."""
    output, *grads = bounds.selection(case, arrays, grad)
    if case.terms == 1:
        return [output, *grads]
    _, *sizes = bounds.majorant(case, arrays, grad)
    axes = sum(max(pair) > 0 for pair in case.params.get("pad_width", ()))
    return [output, *map(stored, grads, sizes, [max(axes, 1)] * len(grads))]


def elementwise(case: OpCase, arrays: Arrays, grad: np.ndarray) -> Bounds:
    """The slope s(y) of a stored output y, off by U y, is off by |s'(y) y| U.

    That is at most U |s| for exp and sqrt, and at most 2 U for the others, whose outputs (or
    negative outputs, for elu) lie between -1 and 1; (1 + U)^2 covers the terms of second order.
    """
    output, *grads = bounds.elementwise(case, arrays, grad)
    exact, *sizes = bounds.evaluate(case, "reference", arrays, np.abs(grad))
    from_output = U * (1.0 + U) ** 2 * (2.0 * np.abs(grad) + np.abs(sizes[0]))
    return [stored(output, exact), stored(grads[0] + from_output, sizes[0])]


def interpolate(case: OpCase, arrays: Arrays, grad: np.ndarray) -> Bounds:
    """As in float32, then rounded once."""
    sizes = bounds.majorant(case, arrays, grad)
    return [*map(stored, bounds.interpolate(case, arrays, grad), sizes)]


FAMILIES = {f.__name__: f for f in (monomial, selection, elementwise, interpolate)}


def accepts(case: OpCase) -> bool:
    """Return whether the bounds here hold: all arguments of the op are images."""
    return case.family in FAMILIES and case.op != "linear"


def bounds_of(case: OpCase, arrays: Arrays, grad: np.ndarray) -> Bounds:
    """Return the largest errors allowed in the output and the gradients of ``case``."""
    return FAMILIES[case.family](case, arrays, grad)

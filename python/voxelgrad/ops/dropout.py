"""Dropout."""

from __future__ import annotations

from voxelgrad import random
from voxelgrad.autograd import Function
from voxelgrad.ops._arguments import as_tensor
from voxelgrad.tensor import Array, Tensor


class Dropout(Function):
    """Zeroes each element with probability ``p``; backward recomputes the mask from the seed."""

    __slots__ = ("p", "seed")
    op = "dropout"

    def __init__(self, p: float, seed: int) -> None:
        self.p = p
        self.seed = seed

    def _masked(self, array: Array) -> Array:
        output: Array = self.backend.empty(array.shape, array.dtype)
        self.backend.dropout(array, output, self.p, self.seed)
        return output

    def forward(self, input: Array) -> Array:
        return self._masked(input)

    def backward(self, grad_output: Array) -> tuple[Array | None, ...]:
        return (self._masked(grad_output),)


def dropout(input: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Zero elements at random and scale the others by ``1 / (1 - p)``.

    Source: N. Srivastava et al., Dropout, 2014.

    Args:
        input: A tensor of any shape.
        p: Probability of zeroing, in [0, 1).
        training: If false, the input is returned as it is.

    Returns:
        A tensor of the input's shape. Which elements are kept depends on ``manual_seed`` and on
        how many seeds were drawn before, not on threads.

    Raises:
        ValueError: If ``p`` lies outside [0, 1).
    """
    if not (isinstance(p, (int, float)) and 0 <= p < 1):
        raise ValueError(f"dropout: p is {p!r}; it must lie in [0, 1)")
    if not training or p == 0:
        return as_tensor("dropout", "input", input)
    return Dropout(float(p), random.next_seed()).apply(input)

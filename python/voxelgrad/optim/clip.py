"""Gradient clipping."""

from __future__ import annotations

import math
from collections.abc import Iterable

from voxelgrad.backends import backend_of
from voxelgrad.tensor import Tensor


def clip_grad_norm(params: Iterable[Tensor], max_norm: float) -> float:
    """Scale all gradients by one factor so that their common norm is at most ``max_norm``.

    Source: Pascanu et al. 2013, algorithm 1; the factor is max_norm / (norm + 1e-6) as in PyTorch.

    Args:
        params: Tensors; those without a gradient are skipped.
        max_norm: The largest norm, above 0.

    Returns:
        The norm before clipping, 0 if there are no gradients.

    Raises:
        ValueError: If ``max_norm`` is not above 0, or the norm is not finite (nothing is scaled).
    """
    if not max_norm > 0.0:
        raise ValueError(f"clip_grad_norm: max_norm is {max_norm}; it must be above 0")
    grads = [parameter.grad.data for parameter in params if parameter.grad is not None]
    if not grads:
        return 0.0
    backend = backend_of(grads[0])
    norm = math.sqrt(backend.squared_norm(grads))
    if not math.isfinite(norm):
        raise ValueError(
            f"clip_grad_norm: the norm of the gradients is {norm}; the training has diverged: "
            "lower the learning rate or check the input for NaN"
        )
    factor = max_norm / (norm + 1e-6)
    if factor < 1.0:
        backend.scale_inplace(grads, factor)
    return norm

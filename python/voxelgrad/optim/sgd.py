"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from voxelgrad.backends import backend_of
from voxelgrad.optim.optimizer import Optimizer, below_one, not_negative
from voxelgrad.tensor import Tensor


class SGD(Optimizer):
    """Gradient descent with momentum, by PyTorch's rule.

    With g = gradient + weight_decay * parameter:
    buffer = momentum * buffer + g; parameter -= lr * buffer, or with Nesterov's look-ahead
    parameter -= lr * (g + momentum * buffer). Source: Sutskever et al. 2013, section 2.

    Args:
        params: Tensors that require gradients.
        lr: Learning rate, at least 0.
        momentum: Share of the old direction that stays, at least 0 and below 1.
        nesterov: Whether to look ahead; it needs momentum.
        weight_decay: Factor of the L2 penalty, at least 0.

    Raises:
        ValueError: If a setting is out of range or ``params`` is unfit.
    """

    setting_names: ClassVar[tuple[str, ...]] = ("lr", "momentum", "nesterov", "weight_decay")

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr)
        self.momentum = below_one("SGD", "momentum", momentum)
        self.weight_decay = not_negative("SGD", "weight_decay", weight_decay)
        if nesterov and momentum == 0.0:
            raise ValueError("SGD: nesterov=True needs momentum above 0, such as 0.9")
        self.nesterov = bool(nesterov)
        self._buffers = self._make_state("momentum") if momentum else []

    def _update(self, active: list[int]) -> None:
        params, grads = self._arrays_of(active)
        buffers = [self._buffers[index] for index in active] if self._buffers else []
        backend_of(params[0]).sgd_step(
            params, grads, buffers, self.lr, self.momentum, self.nesterov, self.weight_decay
        )

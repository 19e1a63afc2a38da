"""Adam, with L2 penalty or with decoupled weight decay."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from voxelgrad.backends import backend_of
from voxelgrad.optim.optimizer import Optimizer, below_one, not_negative
from voxelgrad.tensor import Tensor


class Adam(Optimizer):
    """Steps scaled by running means of the gradient and of its square.

    Source: Kingma and Ba 2015, algorithm 1; the weight decay is added to the gradient.

    Args:
        params: Tensors that require gradients.
        lr: Learning rate, at least 0.
        betas: Share of the old mean that stays, for the gradient and for its square.
        eps: Added to the root of the mean square, above 0.
        weight_decay: Factor of the L2 penalty, at least 0.

    Raises:
        ValueError: If a setting is out of range or ``params`` is unfit.
    """

    setting_names: ClassVar[tuple[str, ...]] = ("lr", "beta1", "beta2", "eps", "weight_decay")
    _decoupled: ClassVar[bool] = False

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr)
        owner = type(self).__name__
        if len(betas) != 2:
            raise ValueError(f"{owner}: betas is {betas}; give two numbers such as (0.9, 0.999)")
        self.beta1 = below_one(owner, "betas[0]", betas[0])
        self.beta2 = below_one(owner, "betas[1]", betas[1])
        if not 0.0 < eps < float("inf"):
            raise ValueError(f"{owner}: eps is {eps}; it must be finite and above 0")
        self.eps = float(eps)
        self.weight_decay = not_negative(owner, "weight_decay", weight_decay)
        self._means = self._make_state("mean")
        self._mean_squares = self._make_state("mean_square")

    def _update(self, active: list[int]) -> None:
        # The bias correction depends on the count; parameters that joined later have their own.
        for count in sorted({self.step_counts[index] for index in active}):
            self._update_group([i for i in active if self.step_counts[i] == count], count)

    def _update_group(self, group: list[int], count: int) -> None:
        params, grads = self._arrays_of(group)
        backend_of(params[0]).adam_step(
            params,
            grads,
            [self._means[index] for index in group],
            [self._mean_squares[index] for index in group],
            self.lr,
            self.beta1,
            self.beta2,
            self.eps,
            self.weight_decay,
            self._decoupled,
            count,
        )


class AdamW(Adam):
    """Adam whose weight decay shrinks the parameters directly, by lr * weight_decay a step.

    Source: Loshchilov and Hutter 2019, algorithm 2. Arguments as for `Adam`.
    """

    _decoupled: ClassVar[bool] = True

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay)

"""Learning rate schedules: a pure function of the step, and a counter that feeds an optimizer.

A step is whatever ``step()`` is called after: a batch or an epoch. The first runs at ``lr(0)``.
"""

from __future__ import annotations

import math
from typing import Any

from voxelgrad.optim.optimizer import Optimizer, not_negative


class Schedule:
    """The base: a subclass sets its numbers, calls ``_start`` and defines ``lr``.

    Args:
        optimizer: The optimizer whose learning rate is set; its rate now is the base rate.

    Attributes:
        base_lr: The rate that the schedule starts from or aims at.
        last_step: How often ``step`` was called.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self.base_lr = optimizer.lr
        self.last_step = 0

    def lr(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0; nothing else depends on it."""
        raise NotImplementedError

    def step(self) -> None:
        """Go on to the next step and set the optimizer's rate."""
        self.last_step += 1
        self.optimizer.lr = self.lr(self.last_step)

    def state_dict(self) -> dict[str, Any]:
        """Return the kind, base rate and position, which JSON can hold."""
        return {
            "kind": type(self).__name__,
            "base_lr": self.base_lr,
            "last_step": self.last_step,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the position from ``state_dict`` and set the optimizer's rate.

        Raises:
            ValueError: If the state is of another schedule or damaged.
        """
        self._restore(state)
        self.optimizer.lr = self.lr(self.last_step)

    def _restore(self, state: dict[str, Any]) -> None:
        owner = type(self).__name__
        if state.get("kind") != owner:
            raise ValueError(f"{owner}: the state is of {state.get('kind')!r}, not of {owner}")
        if "base_lr" not in state or "last_step" not in state:
            raise ValueError(f"{owner}: the state lacks base_lr or last_step; it is damaged")
        self.base_lr = float(state["base_lr"])
        self.last_step = int(state["last_step"])

    def _start(self) -> None:
        self.optimizer.lr = self.lr(self.last_step)


class StepLR(Schedule):
    """Multiplies the rate by ``factor`` every ``every`` steps.

    Args:
        optimizer: The optimizer.
        every: Steps between two changes, at least 1.
        factor: What the rate is multiplied by, above 0.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(self, optimizer: Optimizer, every: int, factor: float = 0.1) -> None:
        super().__init__(optimizer)
        self.every = _at_least_one("StepLR", "every", every)
        self.factor = _positive("StepLR", "factor", factor)
        self._start()

    def lr(self, step: int) -> float:
        """Return base_lr * factor^(step // every)."""
        return float(self.base_lr * self.factor ** (step // self.every))


class CosineLR(Schedule):
    """Falls from the base rate to ``final_lr`` along half a cosine, and stays there.

    Source: Loshchilov and Hutter 2017, equation 5, without restarts.

    Args:
        optimizer: The optimizer.
        total_steps: Steps until the end, at least 1.
        final_lr: The last rate, at least 0.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(self, optimizer: Optimizer, total_steps: int, final_lr: float = 0.0) -> None:
        super().__init__(optimizer)
        self.total_steps = _at_least_one("CosineLR", "total_steps", total_steps)
        self.final_lr = not_negative("CosineLR", "final_lr", final_lr)
        self._start()

    def lr(self, step: int) -> float:
        """Return the rate on the cosine at step / total_steps."""
        return _cosine(self.base_lr, self.final_lr, step / self.total_steps)


class PolynomialLR(Schedule):
    """Falls from the base rate to 0 as (1 - step / total_steps)^power, and stays there.

    Args:
        optimizer: The optimizer.
        total_steps: Steps until the rate is 0, at least 1.
        power: Exponent, above 0; 0.9 is usual in segmentation.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(self, optimizer: Optimizer, total_steps: int, power: float = 0.9) -> None:
        super().__init__(optimizer)
        self.total_steps = _at_least_one("PolynomialLR", "total_steps", total_steps)
        self.power = _positive("PolynomialLR", "power", power)
        self._start()

    def lr(self, step: int) -> float:
        """Return base_lr * (1 - step / total_steps)^power."""
        left = 1.0 - min(step, self.total_steps) / self.total_steps
        return float(self.base_lr * left**self.power)


class OneCycleLR(Schedule):
    """Rises from a low rate to the base rate and falls to a very low one, both along half a cosine.

    Source: Smith and Topin 2018; the two phases and their defaults are PyTorch's.

    Args:
        optimizer: The optimizer; its rate now is the highest of the cycle.
        total_steps: Steps of the whole cycle, at least 2.
        rise: Share of the steps that rise, above 0 and below 1.
        start_divisor: The first rate is the highest divided by this, at least 1.
        final_divisor: The last rate is the first divided by this, at least 1.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total_steps: int,
        rise: float = 0.3,
        start_divisor: float = 25.0,
        final_divisor: float = 1e4,
    ) -> None:
        super().__init__(optimizer)
        self.total_steps = _at_least_one("OneCycleLR", "total_steps", total_steps)
        if not 0.0 < rise < 1.0:
            raise ValueError(f"OneCycleLR: rise is {rise}; it must be above 0 and below 1")
        if not rise * total_steps > 1.0:
            raise ValueError(
                f"OneCycleLR: total_steps {total_steps} with rise {rise} leaves no step to rise; "
                f"use more than {math.floor(1.0 / rise)} steps"
            )
        self.rise = float(rise)
        self.start_divisor = _divisor("start_divisor", start_divisor)
        self.final_divisor = _divisor("final_divisor", final_divisor)
        self._start()

    def lr(self, step: int) -> float:
        """Return the rate on the rising or the falling cosine."""
        first = self.base_lr / self.start_divisor
        peak = self.rise * self.total_steps - 1.0
        if step <= peak:
            return _cosine(first, self.base_lr, step / peak)
        last = self.total_steps - 1.0
        return _cosine(self.base_lr, first / self.final_divisor, (step - peak) / (last - peak))


class WarmUp(Schedule):
    """Rises in a straight line to another schedule's first rate, then follows that schedule.

    Args:
        schedule: The schedule afterwards; it starts when the warm-up ends. Step only the warm-up.
        steps: Steps of the warm-up, at least 1.
        start_factor: First rate as a share of the schedule's first rate, between 0 and 1.

    Raises:
        ValueError: If an argument is out of range or the schedule has already run.
    """

    def __init__(self, schedule: Schedule, steps: int, start_factor: float = 0.01) -> None:
        super().__init__(schedule.optimizer)
        if schedule.last_step != 0:
            raise ValueError("WarmUp: the schedule has already run; wrap it before its first step")
        if not 0.0 <= start_factor <= 1.0:
            raise ValueError(f"WarmUp: start_factor is {start_factor}; it must be between 0 and 1")
        self.base_lr = schedule.base_lr
        self.schedule = schedule
        self.steps = _at_least_one("WarmUp", "steps", steps)
        self.start_factor = float(start_factor)
        self._start()

    def lr(self, step: int) -> float:
        """Return the rate on the line, or of the schedule ``steps`` earlier."""
        if step >= self.steps:
            return self.schedule.lr(step - self.steps)
        share = self.start_factor + (1.0 - self.start_factor) * step / self.steps
        return self.schedule.lr(0) * share

    def state_dict(self) -> dict[str, Any]:
        """Return the position, and the state of the schedule inside."""
        return {**super().state_dict(), "schedule": self.schedule.state_dict()}

    def _restore(self, state: dict[str, Any]) -> None:
        super()._restore(state)
        self.schedule._restore(state.get("schedule", {}))


def _cosine(first: float, last: float, share: float) -> float:
    """Return the value between first and last on half a cosine; share runs from 0 to 1."""
    share = min(share, 1.0)
    return last + (first - last) * 0.5 * (1.0 + math.cos(math.pi * share))


def _at_least_one(owner: str, name: str, value: int) -> int:
    if value != int(value) or value < 1:
        raise ValueError(f"{owner}: {name} is {value}; it must be a whole number of at least 1")
    return int(value)


def _positive(owner: str, name: str, value: float) -> float:
    if not 0.0 < value < math.inf:
        raise ValueError(f"{owner}: {name} is {value}; it must be finite and above 0")
    return float(value)


def _divisor(name: str, value: float) -> float:
    if not 1.0 <= value < math.inf:
        raise ValueError(f"OneCycleLR: {name} is {value}; it must be finite and at least 1")
    return float(value)

"""The base of all optimizers: a fixed list of parameters, settings, and arrays of state."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from voxelgrad.backends import copy_into, device_of, move, zeros_like
from voxelgrad.tensor import Tensor

Array = NDArray[Any]


class Optimizer:
    """Changes parameters by their gradients, all of them in one native pass a step.

    Parameters without a gradient are left alone. A subclass names its settings in
    ``setting_names``, makes its arrays with ``_make_state`` and does the arithmetic in ``_update``.

    Args:
        params: Tensors that require gradients, all float32 or all float64; their order is part of
            the saved state.
        lr: Learning rate, finite and at least 0.

    Attributes:
        params: The parameters, a list.
        step_counts: For each parameter how often it was updated.

    Raises:
        ValueError: If ``params`` is empty or unfit, or a setting is out of range.
        TypeError: If ``params`` holds something that is no tensor.
    """

    setting_names: ClassVar[tuple[str, ...]] = ("lr",)

    def __init__(self, params: Iterable[Tensor], lr: float) -> None:
        self.params = _checked_parameters(type(self).__name__, params)
        self.lr = lr
        self.step_counts = [0] * len(self.params)
        self._state: dict[str, list[Array]] = {}

    @property
    def lr(self) -> float:
        """The learning rate; schedules set it."""
        return self._lr

    @lr.setter
    def lr(self, value: float) -> None:
        self._lr = not_negative(type(self).__name__, "lr", value)

    def step(self) -> None:
        """Update every parameter that has a gradient.

        Raises:
            ValueError: If no parameter has one.
            TypeError: If the parameters were moved to another device since the optimizer was made.
        """
        active = [i for i, parameter in enumerate(self.params) if parameter.grad is not None]
        if not active:
            raise ValueError(
                f"{type(self).__name__}.step: no parameter has a gradient; call backward() on the "
                "loss first"
            )
        self._check_device(active)
        for index in active:
            self.step_counts[index] += 1
        self._update(active)

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for parameter in self.params:
            parameter.grad = None

    def state_dict(self) -> dict[str, Any]:
        """Return a snapshot of everything but the parameters.

        Returns:
            ``kind`` (class name), ``settings`` (numbers by name) and ``step_counts`` (a list),
            which JSON can hold, and ``arrays``: name -> copy of an array, such as "momentum.0".
        """
        arrays = {
            f"{name}.{index}": move("state_dict", array, "cpu").copy()
            for name, group in self._state.items()
            for index, array in enumerate(group)
        }
        return {
            "kind": type(self).__name__,
            "settings": {name: getattr(self, name) for name in self.setting_names},
            "step_counts": list(self.step_counts),
            "arrays": arrays,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a snapshot from ``state_dict``; nothing is changed unless everything fits.

        Raises:
            ValueError: If the snapshot is of another optimizer, of other settings or parameters.
        """
        owner = type(self).__name__
        if state.get("kind") != owner:
            raise ValueError(f"{owner}: the state is of {state.get('kind')!r}, not of {owner}")
        unfit = [key for key in ("settings", "step_counts", "arrays") if key not in state]
        if unfit:
            raise ValueError(f"{owner}: the state lacks {', '.join(unfit)}; it is damaged")
        settings, arrays = state["settings"], state["arrays"]
        targets = {
            f"{name}.{index}": array
            for name, group in self._state.items()
            for index, array in enumerate(group)
        }
        if set(settings) != set(self.setting_names):
            raise ValueError(
                f"{owner}: the state has the settings {sorted(settings)}, not "
                f"{sorted(self.setting_names)}"
            )
        if len(state["step_counts"]) != len(self.params):
            raise ValueError(
                f"{owner}: the state is of {len(state['step_counts'])} parameters, this optimizer "
                f"has {len(self.params)}; build it with the same model"
            )
        self._check_arrays(arrays, targets)
        step_counts = [int(count) for count in state["step_counts"]]
        for name in self.setting_names:
            setattr(self, name, settings[name])
        for name, target in targets.items():
            copy_into(target, np.asarray(arrays[name]))
        self.step_counts = step_counts

    def __repr__(self) -> str:
        """Return the class, the number of parameters and the settings."""
        settings = ", ".join(f"{name}={getattr(self, name)}" for name in self.setting_names)
        return f"{type(self).__name__}({len(self.params)} parameters, {settings})"

    def _make_state(self, name: str) -> list[Array]:
        self._state[name] = [zeros_like(parameter.data) for parameter in self.params]
        return self._state[name]

    def _check_device(self, active: list[int]) -> None:
        for group in self._state.values():
            here, state = device_of(self.params[active[0]].data), device_of(group[active[0]])
            if here != state:
                raise TypeError(
                    f"{type(self).__name__}: the parameters are on {here!r} but its state on "
                    f"{state!r}; make the optimizer after model.to({here!r}), and load its state"
                )

    def _update(self, active: list[int]) -> None:
        raise NotImplementedError

    def _arrays_of(self, active: list[int]) -> tuple[list[Array], list[Array]]:
        """Return the data and the gradients of the parameters with these positions."""
        chosen = [self.params[index] for index in active]
        return [p.data for p in chosen], [p.grad.data for p in chosen if p.grad is not None]

    def _check_arrays(self, arrays: dict[str, Array], targets: dict[str, Array]) -> None:
        owner = type(self).__name__
        if set(arrays) != set(targets):
            different = sorted(set(arrays) ^ set(targets))[:3]
            raise ValueError(f"{owner}: the state has other arrays; such as {', '.join(different)}")
        for name, target in targets.items():
            if np.shape(arrays[name]) != target.shape:
                raise ValueError(
                    f"{owner}: {name} has shape {np.shape(arrays[name])} in the state, the "
                    f"parameter has {target.shape}; build the optimizer with the same model"
                )


def not_negative(owner: str, name: str, value: float) -> float:
    """Return ``value`` if it is finite and at least 0.

    Raises:
        ValueError: If it is not.
    """
    if not 0.0 <= value < math.inf:
        raise ValueError(f"{owner}: {name} is {value}; it must be finite and 0 or greater")
    return float(value)


def below_one(owner: str, name: str, value: float) -> float:
    """Return ``value`` if it lies in [0, 1).

    Raises:
        ValueError: If it does not.
    """
    if not 0.0 <= value < 1.0:
        raise ValueError(f"{owner}: {name} is {value}; it must be at least 0 and below 1")
    return float(value)


def _checked_parameters(owner: str, params: Iterable[Tensor]) -> list[Tensor]:
    if isinstance(params, Tensor):
        raise TypeError(f"{owner}: params is one tensor; give a list such as model.parameters()")
    checked = list(params)
    if not checked:
        raise ValueError(
            f"{owner}: params is empty; give model.parameters() (a generator can be used only once)"
        )
    for index, parameter in enumerate(checked):
        if not isinstance(parameter, Tensor):
            raise TypeError(f"{owner}: params[{index}] is {type(parameter).__name__}, not a tensor")
        if not parameter.requires_grad:
            raise ValueError(
                f"{owner}: params[{index}] of shape {parameter.shape} does not require a gradient"
            )
    if len({id(parameter) for parameter in checked}) != len(checked):
        raise ValueError(f"{owner}: a parameter is listed twice; it would be updated twice a step")
    dtypes = sorted({str(parameter.dtype) for parameter in checked})
    if len(dtypes) > 1:
        raise ValueError(f"{owner}: params mix {' and '.join(dtypes)}; use one dtype")
    return checked

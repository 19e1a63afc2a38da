"""Activations: as functions by name, and as layers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from voxelgrad import ops
from voxelgrad.interop.keras.layers.base import Layer, Settings
from voxelgrad.tensor import Tensor

Function = Callable[[Tensor], Tensor]
_SELU_SCALE, _SELU_ALPHA = 1.0507009873554805, 1.6732632423543772


def _linear(x: Tensor) -> Tensor:
    return x


def _selu(x: Tensor) -> Tensor:
    return ops.mul(ops.elu(x, _SELU_ALPHA), _SELU_SCALE)


def _silu(x: Tensor) -> Tensor:
    return ops.mul(x, ops.sigmoid(x))


def _mish(x: Tensor) -> Tensor:
    return ops.mul(x, ops.tanh(ops.softplus(x)))


def _softsign(x: Tensor) -> Tensor:
    return ops.div(x, ops.add(ops.abs(x), 1.0))


FUNCTIONS: dict[str, Function] = {
    "elu": ops.elu,
    "exponential": ops.exp,
    "leaky_relu": lambda x: ops.leaky_relu(x, 0.2),
    "linear": _linear,
    "log_softmax": ops.log_softmax,
    "mish": _mish,
    "relu": ops.relu,
    "relu6": lambda x: ops.clip(x, 0.0, 6.0),
    "selu": _selu,
    "sigmoid": ops.sigmoid,
    "silu": _silu,
    "softmax": ops.softmax,
    "softplus": ops.softplus,
    "softsign": _softsign,
    "swish": _silu,
    "tanh": ops.tanh,
}


def activation(value: Any) -> Function:
    """Return the function that an ``activation`` setting stands for.

    Args:
        value: Its name; or as Keras describes a function or a layer.

    Raises:
        ValueError: If it is not known; a function of somebody's own is never looked up.
    """
    if value is None:
        return _linear
    if isinstance(value, dict) and value.get("class_name") in LAYERS:
        settings = value.get("config")
        return LAYERS[value["class_name"]](Settings(_given(settings)), {})
    if isinstance(value, dict) and value.get("class_name") == "function":
        value = value.get("config")
    if not isinstance(value, str) or value not in FUNCTIONS:
        named = value.get("class_name") if isinstance(value, dict) else value
        raise ValueError(
            f"its activation is {str(named)[:100]!r}; understood are {', '.join(FUNCTIONS)} and "
            f"Keras's layers for activations"
        )
    return FUNCTIONS[value]


def _given(settings: Any) -> dict[str, Any]:
    if not isinstance(settings, dict):
        raise ValueError("its activation has no settings")
    return {name: value for name, value in settings.items() if value is not None}


class Activation(Layer):
    """A function by name."""

    def set_up(self, settings: Settings) -> None:
        """Find the function."""
        self.function = activation(settings.get("activation"))

    def forward(self, input: Tensor) -> Tensor:
        """Apply the function."""
        return self.function(input)

    def fusion(self) -> tuple[Any, ...]:
        """Return what a norm takes to compute it."""
        return ("relu",) if self.function is ops.relu else ()


class ReLU(Layer):
    """max(x, 0), with a slope below zero and a ceiling where they are given."""

    def set_up(self, settings: Settings) -> None:
        """Read slope and ceiling."""
        settings.refuse("threshold", "a ReLU that begins elsewhere than at 0")
        self.slope = settings.number("negative_slope", 0.0)
        self.ceiling = settings.number("max_value", 0.0) if settings.get("max_value") else math.inf

    def forward(self, input: Tensor) -> Tensor:
        """Apply it."""
        output = ops.leaky_relu(input, self.slope) if self.slope else ops.relu(input)
        return output if self.ceiling == math.inf else ops.clip(output, -math.inf, self.ceiling)

    def fusion(self) -> tuple[Any, ...]:
        """Return what a norm takes to compute it."""
        if self.ceiling != math.inf:
            return ()
        return ("leaky_relu", self.slope) if self.slope else ("relu",)


class LeakyReLU(Layer):
    """x where x is positive, else slope * x."""

    def set_up(self, settings: Settings) -> None:
        """Read the slope, which Keras 2 called alpha."""
        self.slope = settings.number("negative_slope", settings.number("alpha", 0.3))

    def forward(self, input: Tensor) -> Tensor:
        """Apply it."""
        return ops.leaky_relu(input, self.slope)

    def fusion(self) -> tuple[Any, ...]:
        """Return what a norm takes to compute it."""
        return "leaky_relu", self.slope


class PReLU(Layer):
    """x where x is positive, else slope * x with learned slopes."""

    def set_up(self, settings: Settings) -> None:
        """Keep the slopes: of each channel, or of each place and channel."""
        self.keep("alpha", len(self._shapes.get("alpha", (1,))))

    def forward(self, input: Tensor) -> Tensor:
        """Apply it."""
        slope = self.get("weight")
        assert slope is not None
        return ops.prelu(input, slope)


class ELU(Layer):
    """x where x is positive, else alpha * (exp(x) - 1)."""

    def set_up(self, settings: Settings) -> None:
        """Read alpha."""
        self.alpha = settings.number("alpha", 1.0)

    def forward(self, input: Tensor) -> Tensor:
        """Apply it."""
        return ops.elu(input, self.alpha)


class Softmax(Layer):
    """Probabilities along an axis."""

    def set_up(self, settings: Settings) -> None:
        """Read the axis."""
        value = settings.values.get("axis", -1)
        axes = value if isinstance(value, list) else [value]
        if len(axes) != 1 or not isinstance(axes[0], int):
            raise ValueError(f"axis is {value!r}; it must be one axis")
        self.axis = axes[0]

    def forward(self, input: Tensor) -> Tensor:
        """Apply it."""
        return ops.softmax(input, self.axis)


LAYERS: dict[str, type[Layer]] = {
    "Activation": Activation,
    "ELU": ELU,
    "LeakyReLU": LeakyReLU,
    "PReLU": PReLU,
    "ReLU": ReLU,
    "Softmax": Softmax,
}

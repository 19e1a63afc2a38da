"""What the layers share: their settings, checked, and their arrays."""

from __future__ import annotations

from typing import Any

from voxelgrad.interop.keras.layout import PLAIN, Shape, shape_in_ours
from voxelgrad.interop.keras.roles import OURS
from voxelgrad.nn.init import filled
from voxelgrad.nn.module import Module
from voxelgrad.nn.parameter import Parameter
from voxelgrad.tensor import Tensor


class Settings:
    """A layer's settings as Keras describes it.

    Args:
        values: Name -> what the description says; settings that are None are left out.
    """

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values

    def get(self, name: str) -> Any:
        """Return a setting as it is, None if it is not there."""
        return self.values.get(name)

    def ints(self, name: str, rank: int, default: int = 1, least: int = 1) -> tuple[int, ...]:
        """Return a setting with one integer for each spatial axis; one stands for all.

        Raises:
            ValueError: If it is something else, or an integer is below ``least``.
        """
        value = self.values.get(name, default)
        listed = [value] * rank if _is_int(value) else value
        if (
            not isinstance(listed, list)
            or len(listed) != rank
            or not all(_is_int(n) and least <= n < 1 << 31 for n in listed)
        ):
            raise ValueError(f"{name} is {value!r}; it must be {rank} integers from {least} on")
        return tuple(listed)

    def number(self, name: str, default: float) -> float:
        """Return a setting that is a finite number.

        Raises:
            ValueError: If it is none.
        """
        value = self.values.get(name, default)
        # Keras 2 wrote some numbers as arrays: {"type": "ndarray", "value": 0.3}.
        value = value.get("value") if isinstance(value, dict) else value
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f"{name} is {value!r}; it must be a number")
        if not abs(value) < 1e30:
            raise ValueError(f"{name} is {value}; it must be finite")
        return float(value)

    def flag(self, name: str, default: bool) -> bool:
        """Return a setting that is true or false.

        Raises:
            ValueError: If it is neither.
        """
        value = self.values.get(name, default)
        if not isinstance(value, bool):
            raise ValueError(f"{name} is {value!r}; it must be true or false")
        return value

    def choice(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        """Return a setting that is one of some words.

        Raises:
            ValueError: If it is another.
        """
        value = self.values.get(name, default)
        if value not in choices:
            raise ValueError(f"{name} is {value!r}; it must be one of {', '.join(choices)}")
        return str(value)

    def refuse(self, name: str, meaning: str) -> None:
        """Raise ``ValueError`` if a setting is there and not off."""
        if self.values.get(name):
            raise ValueError(f"{name} is {self.values[name]!r}; {meaning} is not understood")

    def need_channels_last(self) -> None:
        """Raise ``ValueError`` if images have the channels first."""
        if self.values.get("data_format", "channels_last") != "channels_last":
            raise ValueError(
                f"data_format is {self.values['data_format']!r}, and voxelgrad computes on "
                f"'channels_last'; build the network with voxelgrad's layers and use load_weights: "
                f"kernels lie alike in both"
            )


class Layer(Module):
    """A layer of Keras: computes on channels-last tensors as its settings say.

    Args:
        settings: As the file describes them.
        shapes: What an array is -> its shape in Keras's layout.

    Attributes:
        layouts: Name of an array here -> how Keras lays it out, and groups.
    """

    def __init__(self, settings: Settings, shapes: dict[str, Shape]) -> None:
        self.settings = settings
        self._shapes = dict(shapes)
        self.layouts: dict[str, tuple[str, int]] = {}
        self.set_up(settings)
        if self._shapes:
            raise ValueError(
                f"the file has arrays that it does not take: {', '.join(self._shapes)}"
            )

    def set_up(self, settings: Settings) -> None:
        """Read the settings and keep the arrays; layers that have any write this."""

    def shape_of(self, role: str, ndim: int) -> Shape:
        """Return the shape that an array has in the file.

        Raises:
            ValueError: If it is not there, has another number of axes, or an empty one.
        """
        shape = self._shapes.get(role)
        if shape is None:
            raise ValueError(f"the file has no {role} for it")
        if len(shape) != ndim or 0 in shape:
            raise ValueError(f"its {role} has shape {shape}; it must have {ndim} axes, none empty")
        return shape

    def keep(
        self, role: str, ndim: int, layout: str = PLAIN, groups: int = 1, trained: bool = True
    ) -> Shape:
        """Make a parameter, or a buffer, for an array of the file; return its shape there."""
        shape = self.shape_of(role, ndim)
        del self._shapes[role]
        name = OURS.get(role, role)
        array = filled(shape_in_ours(layout, shape), 0.0)
        if trained:
            setattr(self, name, Parameter(array))
        else:
            self.register_buffer(name, array)
        self.layouts[name] = (layout, groups)
        return shape

    def get(self, name: str) -> Tensor | None:
        """Return a parameter, None if the layer has none of that name."""
        return getattr(self, name, None)

    def fusion(self) -> tuple[Any, ...]:
        """Return what a norm before this activation takes to compute it, too; nothing if it can't.

        It is ``("relu",)`` or ``("leaky_relu", slope)``.
        """
        return ()

    def extra_repr(self) -> str:
        """Return the settings that say most."""
        shown = ("filters", "units", "kernel_size", "strides", "pool_size", "padding", "activation")
        known = {name: self.settings.get(name) for name in shown if self.settings.get(name)}
        return ", ".join(f"{name}={value}" for name, value in known.items())


def ranked(
    base: type[Layer], name: str, ranks: tuple[int, ...] = (1, 2, 3), **more: Any
) -> dict[str, type[Layer]]:
    """Return the class for each number of spatial axes under Keras's name for it."""
    names = {rank: name.format(rank) for rank in ranks}
    return {n: type(n, (base,), {"rank": rank, **more}) for rank, n in names.items()}


def check_rank(input: Tensor, rank: int) -> None:
    """Raise ``ValueError`` unless ``input`` has ``rank`` spatial axes."""
    if input.ndim != rank + 2:
        raise ValueError(
            f"its input has shape {input.shape}; it must have {rank + 2} axes: batch, {rank} of "
            f"space, channels"
        )


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)

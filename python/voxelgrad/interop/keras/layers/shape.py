"""Layers that move, cut, join or scale values, and compute nothing else."""

from __future__ import annotations

import math
from functools import reduce
from typing import Any

import numpy as np

from voxelgrad import ops
from voxelgrad.interop.keras.layers.base import Layer, Settings, check_rank, ranked
from voxelgrad.interop.spatial import check_growth
from voxelgrad.tensor import Tensor


class Identity(Layer):
    """Returns its input: an identity, or what matters to Keras's training alone."""

    def forward(self, input: Tensor) -> Tensor:
        """Return the input."""
        return input


class Flatten(Layer):
    """All axes but the batch become one."""

    def set_up(self, settings: Settings) -> None:
        """Refuse channels first."""
        settings.need_channels_last()

    def forward(self, input: Tensor) -> Tensor:
        """Return the flat input."""
        return input.reshape(input.shape[0], math.prod(input.shape[1:]))


class Reshape(Layer):
    """The same values in another shape, batch apart."""

    def set_up(self, settings: Settings) -> None:
        """Read the shape."""
        shape = settings.get("target_shape")
        rank = len(shape) if isinstance(shape, list) else 1
        self.target = settings.ints("target_shape", rank, least=-1)
        if self.target.count(-1) > 1 or 0 in self.target:
            raise ValueError(f"target_shape is {list(self.target)}; one length may be -1, none 0")

    def forward(self, input: Tensor) -> Tensor:
        """Return it in the other shape."""
        return input.reshape(input.shape[0], *self.target)


class Permute(Layer):
    """Axes in another order, batch apart."""

    def set_up(self, settings: Settings) -> None:
        """Read the order."""
        dims = settings.get("dims")
        self.dims = settings.ints("dims", len(dims) if isinstance(dims, list) else 1)

    def forward(self, input: Tensor) -> Tensor:
        """Return it with the axes turned."""
        return ops.transpose(input, (0, *self.dims))


class _Borders(Layer):
    """What padding and cropping share: a width at both ends of each spatial axis."""

    rank: int
    setting: str

    def set_up(self, settings: Settings) -> None:
        settings.need_channels_last()
        value = settings.values.get(self.setting, 1)
        listed = value if isinstance(value, list) else [value] * self.rank
        if self.rank == 1 and len(listed) == 2:
            listed = [listed]  # one axis: (before, after)
        if len(listed) != self.rank:
            raise ValueError(f"{self.setting} is {value!r}; it must have {self.rank} parts")
        pairs = [Settings({self.setting: part}).ints(self.setting, 2, least=0) for part in listed]
        self.pairs = tuple((before, after) for before, after in pairs)


class ZeroPadding(_Borders):
    """Zeros around an image."""

    setting = "padding"

    def forward(self, input: Tensor) -> Tensor:
        """Return the larger image."""
        check_rank(input, self.rank)
        size = [n + sum(pair) for n, pair in zip(input.shape[1:-1], self.pairs, strict=True)]
        check_growth(input.size, (input.shape[0], *size, input.shape[-1]))
        return ops.pad(input, ((0, 0), *self.pairs, (0, 0)))


class Cropping(_Borders):
    """An image without its borders."""

    setting = "cropping"

    def forward(self, input: Tensor) -> Tensor:
        """Return the smaller image."""
        check_rank(input, self.rank)
        size = [n - sum(pair) for n, pair in zip(input.shape[1:-1], self.pairs, strict=True)]
        if min(size) < 1:
            raise ValueError(f"cropping is {self.pairs}; nothing is left of {input.shape}")
        start = (0, *(before for before, _ in self.pairs), 0)
        return ops.crop(input, start, (input.shape[0], *size, input.shape[-1]))


class Rescaling(Layer):
    """Values times a scale, plus an offset; both may be lists, one number for each channel."""

    def set_up(self, settings: Settings) -> None:
        """Read both."""
        self.scale = _numbers(settings, "scale", 1.0)
        self.offset = _numbers(settings, "offset", 0.0)

    def forward(self, input: Tensor) -> Tensor:
        """Return the scaled values."""
        scale, offset = (Tensor(n.astype(input.dtype)) for n in (self.scale, self.offset))
        return ops.add(ops.mul(input, scale), offset)


def _numbers(settings: Settings, name: str, default: float) -> Any:
    value = settings.values.get(name, default)
    listed = value if isinstance(value, list) else [value]
    numbers = [Settings({name: part}).number(name, default) for part in listed]
    return np.asarray(numbers if numbers else [default], np.float64)


class Concatenate(Layer):
    """Tensors joined along an axis, by default the channels."""

    def set_up(self, settings: Settings) -> None:
        """Read the axis."""
        self.axis = settings.ints("axis", 1, -1, least=-16)[0]

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return them as one."""
        return ops.concat(inputs, self.axis)


class _Merge(Layer):
    """What arithmetic of several tensors shares."""

    operation: Any

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return what comes of them."""
        output: Tensor = reduce(type(self).operation, inputs)
        return output


class Add(_Merge):
    """The sum."""

    operation = staticmethod(ops.add)


class Subtract(_Merge):
    """The first less the second."""

    operation = staticmethod(ops.sub)


class Multiply(_Merge):
    """The product."""

    operation = staticmethod(ops.mul)


class Average(Add):
    """The mean."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return it."""
        return ops.mul(super().forward(*inputs), 1.0 / len(inputs))


LAYERS: dict[str, type[Layer]] = {
    "ActivityRegularization": Identity,
    "Add": Add,
    "Average": Average,
    "Concatenate": Concatenate,
    **ranked(Cropping, "Cropping{}D"),
    "Flatten": Flatten,
    "Identity": Identity,
    "Multiply": Multiply,
    "Permute": Permute,
    "Rescaling": Rescaling,
    "Reshape": Reshape,
    "Subtract": Subtract,
    **ranked(ZeroPadding, "ZeroPadding{}D"),
}

"""Norms and dropout."""

from __future__ import annotations

import numpy as np

from voxelgrad import ops
from voxelgrad.interop.keras.layers.base import Layer, Settings
from voxelgrad.tensor import Tensor


class _Norm(Layer):
    """What the norms share: a small number below the root, scale and shift."""

    def set_up(self, settings: Settings) -> None:
        self.eps = settings.number("epsilon", 1e-3)
        if not self.eps > 0:
            raise ValueError(f"epsilon is {self.eps}; it must be above 0")
        axis = settings.values.get("axis", -1)
        self.axes: list[int] = axis if isinstance(axis, list) else [axis]
        if not self.axes or not all(isinstance(a, int) and abs(a) < 16 for a in self.axes):
            raise ValueError(f"axis is {axis!r}; it must be one integer or several")
        for role, setting in (("gamma", "scale"), ("beta", "center")):
            if settings.flag(setting, True):
                self.keep(role, len(self.axes))

    def check_axes(self, input: Tensor) -> None:
        """Raise ``ValueError`` unless the last axes are those to be normalised, in order."""
        last = list(range(input.ndim - len(self.axes), input.ndim))
        if sorted(axis % input.ndim for axis in self.axes) != last:
            raise ValueError(
                f"axis is {self.axes} for an input of shape {input.shape}; voxelgrad normalises "
                f"the last axes"
            )


class BatchNormalization(_Norm):
    """Norm of each channel over batch and space, with running statistics."""

    def set_up(self, settings: Settings) -> None:
        """Keep scale, shift and statistics."""
        settings.refuse("renorm", "renormalisation")
        self.momentum = settings.number("momentum", 0.99)
        super().set_up(settings)
        if len(self.axes) != 1:
            raise ValueError(f"axis is {self.axes}; it must be the last one")
        for role in ("moving_mean", "moving_variance"):
            self.keep(role, 1, trained=False)

    def forward(
        self, input: Tensor, activation: str | None = None, negative_slope: float = 0.01
    ) -> Tensor:
        """Return the normalised input."""
        self.check_axes(input)
        statistics = getattr(self, "running_mean"), getattr(self, "running_var")  # noqa: B009
        return ops.batch_norm(
            input,
            *statistics,
            self.get("weight"),
            self.get("bias"),
            self.training,
            1.0 - self.momentum,
            self.eps,
            activation,
            negative_slope,
        )


class LayerNormalization(_Norm):
    """Norm over the last axes."""

    def set_up(self, settings: Settings) -> None:
        """Keep scale and shift."""
        settings.refuse("rms_scaling", "scaling without a mean")
        super().set_up(settings)

    def forward(self, input: Tensor) -> Tensor:
        """Return the normalised input."""
        self.check_axes(input)
        shape = input.shape[input.ndim - len(self.axes) :]
        return ops.layer_norm(input, shape, self.get("weight"), self.get("bias"), self.eps)


class GroupNormalization(_Norm):
    """Norm of groups of channels of each image over space."""

    def set_up(self, settings: Settings) -> None:
        """Keep scale and shift."""
        super().set_up(settings)
        self.groups = settings.ints("groups", 1, 32, -1)[0]

    def forward(self, input: Tensor) -> Tensor:
        """Return the normalised input."""
        self.check_axes(input)
        groups = input.shape[-1] if self.groups == -1 else self.groups
        return ops.group_norm(input, groups, self.get("weight"), self.get("bias"), self.eps)


class Dropout(Layer):
    """In training sets values to 0 at random and scales the others."""

    def set_up(self, settings: Settings) -> None:
        """Read the rate."""
        settings.refuse("noise_shape", "dropping along axes")
        self.rate = settings.number("rate", 0.5)
        if not 0 <= self.rate < 1:
            raise ValueError(f"rate is {self.rate}; it must lie from 0 to below 1")

    def forward(self, input: Tensor) -> Tensor:
        """Return the input with some values dropped (training) or as it is (evaluation)."""
        return ops.dropout(input, self.rate, self.training)


class SpatialDropout(Dropout):
    """In training sets whole channels to 0 at random and scales the others."""

    def set_up(self, settings: Settings) -> None:
        """Read the rate."""
        settings.need_channels_last()
        super().set_up(settings)

    def forward(self, input: Tensor) -> Tensor:
        """Return the input with some channels dropped (training) or as it is (evaluation)."""
        if not self.training or self.rate == 0:
            return input
        shape = (input.shape[0], *(1,) * (input.ndim - 2), input.shape[-1])
        return ops.mul(input, ops.dropout(Tensor(np.ones(shape, input.dtype)), self.rate))


LAYERS: dict[str, type[Layer]] = {
    "BatchNormalization": BatchNormalization,
    "BatchNormalizationV1": BatchNormalization,
    "BatchNormalizationV2": BatchNormalization,
    "Dropout": Dropout,
    "GroupNormalization": GroupNormalization,
    "LayerNormalization": LayerNormalization,
    "SpatialDropout1D": SpatialDropout,
    "SpatialDropout2D": SpatialDropout,
    "SpatialDropout3D": SpatialDropout,
}

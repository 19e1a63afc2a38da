"""Pooling and enlarging."""

from __future__ import annotations

from typing import Any

from voxelgrad import ops
from voxelgrad.interop.keras.layers.base import Layer, Settings, check_rank, ranked
from voxelgrad.interop.spatial import Pairs, check_growth, same_padding
from voxelgrad.tensor import Tensor

_MAXIMA: dict[int, Any] = {1: ops.max_pool1d, 2: ops.max_pool2d, 3: ops.max_pool3d}
_AVERAGES: dict[int, Any] = {1: ops.avg_pool1d, 2: ops.avg_pool2d, 3: ops.avg_pool3d}


class _Pooling(Layer):
    """What maxima and averages share: the window."""

    rank: int

    def set_up(self, settings: Settings) -> None:
        settings.need_channels_last()
        self.window = settings.ints("pool_size", self.rank, 2)
        given = settings.get("strides") is not None
        self.stride = settings.ints("strides", self.rank) if given else self.window
        self.padding = settings.choice("padding", "valid", ("valid", "same"))

    def pads(self, input: Tensor) -> Pairs:
        """Return the padding before and after each axis."""
        check_rank(input, self.rank)
        if self.padding == "valid":
            return ((0, 0),) * self.rank
        axes = zip(input.shape[1:-1], self.window, self.stride, strict=True)
        pads = tuple(same_padding(*axis) for axis in axes)
        padded = [n + sum(pair) for n, pair in zip(input.shape[1:-1], pads, strict=True)]
        check_growth(input.size, (input.shape[0], *padded, input.shape[-1]))
        return pads


class MaxPooling(_Pooling):
    """Largest value of each window."""

    def forward(self, input: Tensor) -> Tensor:
        """Return the maxima."""
        output: Tensor = _MAXIMA[self.rank](input, self.window, self.stride, self.pads(input))
        return output


class AveragePooling(_Pooling):
    """Mean of each window, without the padding."""

    def forward(self, input: Tensor) -> Tensor:
        """Return the means."""
        output: Tensor = _AVERAGES[self.rank](
            input, self.window, self.stride, self.pads(input), False
        )
        return output


class _GlobalPooling(Layer):
    """What global poolings share."""

    rank: int
    pool: Any

    def set_up(self, settings: Settings) -> None:
        settings.need_channels_last()
        self.keepdims = settings.flag("keepdims", False)

    def forward(self, input: Tensor) -> Tensor:
        """Return one value for each channel."""
        check_rank(input, self.rank)
        output: Tensor = type(self).pool(input)
        if self.keepdims:
            return output.reshape(input.shape[0], *(1,) * self.rank, input.shape[-1])
        return output


class GlobalMaxPooling(_GlobalPooling):
    """Largest value of each channel over all of space."""

    pool = staticmethod(ops.global_max_pool)


class GlobalAveragePooling(_GlobalPooling):
    """Mean of each channel over all of space."""

    pool = staticmethod(ops.global_avg_pool)


class UpSampling(Layer):
    """Enlargement by whole numbers: values repeated, or lines between them."""

    rank: int

    def set_up(self, settings: Settings) -> None:
        """Read factors and interpolation."""
        settings.need_channels_last()
        self.factors = settings.ints("size", self.rank, 2)
        kinds = ("nearest", "bilinear") if self.rank == 2 else ("nearest",)
        self.interpolation = settings.choice("interpolation", "nearest", kinds)

    def forward(self, input: Tensor) -> Tensor:
        """Return the enlarged image."""
        check_rank(input, self.rank)
        size = tuple(n * f for n, f in zip(input.shape[1:-1], self.factors, strict=True))
        check_growth(input.size, (input.shape[0], *size, input.shape[-1]))
        mode = "linear" if self.interpolation == "bilinear" else "nearest"
        return ops.interpolate(input, size, mode=mode)


LAYERS: dict[str, type[Layer]] = {
    **ranked(AveragePooling, "AveragePooling{}D"),
    **ranked(GlobalAveragePooling, "GlobalAveragePooling{}D"),
    **ranked(GlobalMaxPooling, "GlobalMaxPooling{}D"),
    **ranked(MaxPooling, "MaxPooling{}D"),
    **ranked(UpSampling, "UpSampling{}D"),
}

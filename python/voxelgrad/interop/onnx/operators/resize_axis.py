"""ONNX's Resize along one axis: where an output lies in the input, and what it is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelgrad.interop.onnx.call import one_of
from voxelgrad.ops._taps import Taps, dense_taps, interpolation_taps

Array = NDArray[Any]

TRANSFORMS = (
    "half_pixel",
    "half_pixel_symmetric",
    "pytorch_half_pixel",
    "align_corners",
    "asymmetric",
    "tf_crop_and_resize",
)
ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")


@dataclass(frozen=True)
class AxisResize:
    """The resizing of one axis.

    Attributes:
        length: Elements of the input.
        size: Elements of the output.
        scale: Output per input; ``length * scale`` need not be whole.
        mode: nearest, linear or cubic.
        transform: One of ``TRANSFORMS``.
        rounding: One of ``ROUNDINGS``, for nearest.
        region: Start and end of the part that tf_crop_and_resize enlarges, as shares of the axis.
        cubic: The coefficient of the cubic kernel.
        exclude_outside: Whether elements beyond the ends are left out rather than repeated.
        antialias: Whether a smaller output is averaged from more elements.
    """

    length: int
    size: int
    scale: float
    mode: str
    transform: str
    rounding: str
    region: tuple[float, float]
    cubic: float
    exclude_outside: bool
    antialias: bool

    def places(self) -> Array:
        """Return where in the input each output lies, in elements, ``(size,)``."""
        outputs, ideal = np.arange(self.size, dtype=np.float64), self.length * self.scale
        last = self.length - 1
        if self.transform == "align_corners":
            return outputs * (last / (ideal - 1.0)) if ideal != 1.0 else np.zeros(self.size)
        if self.transform == "asymmetric":
            return outputs / self.scale
        if self.transform == "tf_crop_and_resize":
            start, end = self.region
            if ideal == 1.0:
                return np.full(self.size, 0.5 * (start + end) * last)
            return start * last + outputs * ((end - start) * last / (ideal - 1.0))
        places = (outputs + 0.5) / self.scale - 0.5
        if self.transform == "pytorch_half_pixel" and ideal == 1.0:
            return np.zeros(self.size)
        if self.transform == "half_pixel_symmetric":
            return places + 0.5 * self.length * (1.0 - self.size / ideal)
        return places

    def taps(self) -> Taps:
        """Return the table for ``ops.resample``."""
        places = self.places()
        if self.mode != "nearest":
            scale = min(1.0, self.scale) if self.antialias else 1.0
            return interpolation_taps(
                places, self.length, self.mode, scale, self.cubic, self.exclude_outside
            )
        nearest = np.clip(_rounded(places, self.rounding), 0, self.length - 1)
        return dense_taps(nearest[:, None].astype(np.int64), np.ones((self.size, 1)))

    def outside(self) -> Array:
        """Return for each output whether it lies beyond the ends of the input."""
        places = self.places()
        return (places < 0) | (places > self.length - 1)


def _rounded(places: Array, rounding: str) -> Array:
    one_of("nearest_mode", rounding, ROUNDINGS)
    if rounding == "floor":
        return np.floor(places)
    if rounding == "ceil":
        return np.ceil(places)
    prefer_floor = rounding == "round_prefer_floor"
    return np.ceil(places - 0.5) if prefer_floor else np.floor(places + 0.5)

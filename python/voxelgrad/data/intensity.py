"""Bringing MR intensities, which have no unit, onto one scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Statistics:
    """What :class:`Standardise` measured: one number per channel, arrays ``(C,)`` float32."""

    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    low: NDArray[np.float32]
    high: NDArray[np.float32]


@dataclass(frozen=True)
class Standardise:
    """Zero mean and unit variance per channel, measured over the foreground.

    The foreground of a channel is what is brighter than its darkest voxel by more than a tenth of
    the way to its 99.5th percentile: the head, without the air around it.

    Attributes:
        per: ``"volume"`` measures once over all slices of a case, ``"image"`` each slice by itself.
            Slices of one case keep their relative brightness only with ``"volume"``.
        clip: Percentiles of the foreground to which intensities are clipped first (bright vessels,
            fat); None for no clipping.
        foreground: False measures over all voxels.
    """

    per: Literal["volume", "image"] = "volume"
    clip: tuple[float, float] | None = (0.5, 99.5)
    foreground: bool = True

    def __post_init__(self) -> None:
        """Check the options."""
        if self.per not in ("volume", "image"):
            raise ValueError(f"Standardise: per is {self.per!r}; it must be 'volume' or 'image'")
        if self.clip is not None and not 0 <= self.clip[0] < self.clip[1] <= 100:
            raise ValueError(
                f"Standardise: clip is {self.clip}; it must be (low, high) within 0..100"
            )

    def measure(self, image: NDArray[Any]) -> Statistics:
        """Measure an image, or several of one case stacked.

        Args:
            image: ``(*spatial, C)``; all axes but the last are measured together.
        """
        columns = image.reshape(-1, image.shape[-1]).T
        rows = [self._measure_channel(np.ascontiguousarray(column)) for column in columns]
        mean, std, low, high = (np.array(values, np.float32) for values in zip(*rows, strict=True))
        return Statistics(mean, std, low, high)

    def apply(self, image: NDArray[Any], statistics: Statistics) -> NDArray[np.float32]:
        """Return ``(clip(image) - mean) / std`` as float32 ``(*spatial, C)``."""
        result = image.astype(np.float32)
        np.clip(result, statistics.low, statistics.high, out=result)
        result -= statistics.mean
        result /= statistics.std
        return result

    def __call__(self, image: NDArray[Any]) -> NDArray[np.float32]:
        """Standardise an image by its own statistics."""
        return self.apply(image, self.measure(image))

    def _measure_channel(self, values: NDArray[Any]) -> tuple[float, float, float, float]:
        low, high = float(values.min()), float(values.max())
        if self.foreground and high > low:
            bright = float(np.percentile(values, 99.5))
            inside = values[values > low + 0.1 * (bright - low)]
            values = inside if inside.size else values
        if self.clip is not None:
            # The background may be darker than the foreground's low percentile: it is clipped to
            # it.
            lower, upper = (float(edge) for edge in np.percentile(values, self.clip))
            # A foreground of one brightness must not be clipped onto its background.
            low, high = (lower, upper) if lower < upper else (low, high)
            values = np.clip(values, low, high)
        std = float(np.std(values, dtype=np.float64))
        # A constant channel carries nothing; it becomes zeros.
        return float(np.mean(values, dtype=np.float64)), std if std > 0 else 1.0, low, high

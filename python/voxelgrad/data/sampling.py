"""Pieces of volumes: random patches to train on, a grid of windows to predict with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelgrad.data.datasets import Sample


@dataclass(frozen=True)
class RandomPatch:
    """Cuts a patch out of a sample, a share of them around a labelled voxel.

    Use it as, or before, a loader's ``augment``. Images smaller than the patch are padded, the
    image with its channels' minimum and the mask with 0.

    Attributes:
        size: Voxels of the patch along each spatial axis.
        foreground_share: Chance that the patch is placed around a voxel of a class above 0: first a
            class is drawn, then one of its voxels, so that small classes are seen as often as
            large.
    """

    size: tuple[int, ...]
    foreground_share: float = 0.5

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            ValueError: If a size is not positive or the share lies outside 0..1.
        """
        if min(self.size, default=0) < 1:
            raise ValueError(f"RandomPatch: size is {self.size}; all lengths must be 1 or more")
        if not 0 <= self.foreground_share <= 1:
            raise ValueError(
                f"RandomPatch: foreground_share is {self.foreground_share}; it must be from 0 to 1"
            )

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Return the patch; its arrays are copies.

        Raises:
            ValueError: If the image has another number of spatial axes than ``size``.
        """
        shape = sample.image.shape[:-1]
        if len(shape) != len(self.size):
            raise ValueError(
                f"RandomPatch: size {self.size} has {len(self.size)} axes, the image of "
                f"{sample.name} {len(shape)}: {shape}"
            )
        start = self._start(sample, rng)
        image, label = sample.image, sample.label
        image = _cut(image, start, self.size, image.min(axis=tuple(range(len(shape)))))
        if isinstance(label, np.ndarray):
            label = _cut(label, start, self.size, np.int64(0))
        return replace(sample, image=image, label=label)

    def _start(self, sample: Sample, rng: np.random.Generator) -> list[int]:
        spare = np.array(sample.image.shape[:-1]) - np.array(self.size)
        start = [int(rng.integers(0, max(length, 0) + 1)) for length in spare]
        wanted = rng.random() < self.foreground_share
        if wanted and isinstance(sample.label, np.ndarray) and sample.label.any():
            classes = np.unique(sample.label[sample.label > 0])
            voxels = np.flatnonzero(sample.label == rng.choice(classes))
            centre = np.unravel_index(rng.choice(voxels), sample.label.shape)
            start = [int(c) - length // 2 for c, length in zip(centre, self.size, strict=True)]
        # Where the image is smaller than the patch, it lies in the middle.
        limits = zip(start, spare, strict=True)
        return [int(np.clip(s, 0, n)) if n >= 0 else int(n) // 2 for s, n in limits]


@dataclass(frozen=True)
class Compose:
    """Several transforms, one after the other, with one generator."""

    transforms: tuple[Callable[[Sample, np.random.Generator], Sample], ...]

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Return the sample after all transforms."""
        for transform in self.transforms:
            sample = transform(sample, rng)
        return sample


def window_starts(
    shape: Sequence[int], window: Sequence[int], overlap: float = 0.5
) -> list[tuple[int, ...]]:
    """Return where windows begin so that they cover an image evenly and none sticks out.

    Args:
        shape: Spatial shape of the image, at least the window's along each axis (pad it before).
        window: Shape of a window.
        overlap: Least share of a window that the next one covers again, from 0 to below 1.

    Raises:
        ValueError: If a window is larger than the image, or ``overlap`` out of range.
    """
    if len(shape) != len(window) or any(w < 1 or w > n for n, w in zip(shape, window, strict=True)):
        raise ValueError(
            f"window_starts: window {tuple(window)} does not fit into an image of {tuple(shape)}; "
            "pad the image to at least the window"
        )
    if not 0 <= overlap < 1:
        raise ValueError(f"window_starts: overlap is {overlap}; it must be from 0 to below 1")
    axes = [_starts(n, w, overlap) for n, w in zip(shape, window, strict=True)]
    return list(product(*axes))


def gaussian_weights(window: Sequence[int], sigma: float = 0.125) -> NDArray[np.float32]:
    """Return how much each voxel of a window counts: most in the middle, where most is seen.

    Args:
        window: Shape of a window.
        sigma: Standard deviation as a share of the window's length.

    Returns:
        ``window``-shaped float32, 1 in the middle, never 0.

    Raises:
        ValueError: If ``sigma`` is not positive.
    """
    if not sigma > 0:
        raise ValueError(f"gaussian_weights: sigma is {sigma}; it must be above 0")
    weights: NDArray[np.float64] = np.ones(tuple(window))
    for axis, length in enumerate(window):
        distance = (np.arange(length) - (length - 1) / 2) / (sigma * length)
        line = np.exp(-0.5 * distance**2)
        weights = weights * line.reshape([-1 if k == axis else 1 for k in range(len(window))])
    # A corner that only one window covers is divided by its weight: keep that far from underflow.
    return np.asarray(np.maximum(weights / weights.max(), 1e-3), dtype=np.float32)


def blend_windows(
    shape: Sequence[int],
    windows: Iterator[tuple[tuple[int, ...], NDArray[np.float32]]],
    weights: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Put predictions for windows together, weighted where they overlap.

    Args:
        shape: Spatial shape of the whole.
        windows: Start and prediction ``(*window, K)`` of each.
        weights: ``(*window,)`` from :func:`gaussian_weights`.

    Returns:
        ``(*shape, K)`` float32.

    Raises:
        ValueError: If there is no window, or a voxel is covered by none.
    """
    total: NDArray[np.float32] | None = None
    covered = np.zeros(tuple(shape), dtype=np.float32)
    for start, values in windows:
        if total is None:
            total = np.zeros((*shape, values.shape[-1]), dtype=np.float32)
        place = tuple(slice(s, s + n) for s, n in zip(start, weights.shape, strict=True))
        total[place] += values * weights[..., None]
        covered[place] += weights
    if total is None or not covered.all():
        raise ValueError("blend_windows: the windows leave voxels uncovered; use window_starts")
    total /= covered[..., None]
    return total


def _starts(length: int, window: int, overlap: float) -> list[int]:
    step = max(window * (1 - overlap), 1)
    count = int(np.ceil((length - window) / step)) + 1
    return sorted({round(start) for start in np.linspace(0, length - window, count)})


def _cut(
    array: NDArray[Any], start: Sequence[int], size: Sequence[int], fill: object
) -> NDArray[Any]:
    output = np.empty((*size, *array.shape[len(size) :]), dtype=array.dtype)
    output[...] = fill
    source, target = [], []
    for s, n, length in zip(start, size, array.shape, strict=False):
        first, last = max(s, 0), min(s + n, length)
        source.append(slice(first, last))
        target.append(slice(first - s, last - s))
    output[tuple(target)] = array[tuple(source)]
    return output

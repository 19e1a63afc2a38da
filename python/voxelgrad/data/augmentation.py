"""Changing training images at random, so that a network sees more than there is.

All geometric changes of an image are put together first and applied in one resampling, linear for
the image and nearest for the mask: repeated interpolation would blur.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelgrad import backends
from voxelgrad.data.datasets import Sample

# Cubic B-spline fields do not fold where no coefficient exceeds this share of the grid's spacing
# (Choi and Lee 2000, section 3: 0.48 in 2D, 0.40 in 3D).
_FOLD_FREE = 0.4


@dataclass(frozen=True)
class Augment:
    """What may happen to a sample, how often and how strongly; called with sample and generator.

    Every ``..._probability`` is the chance, from 0 to 1, that its change is made to a sample.
    Images have 2 or 3 spatial axes.

    Attributes:
        flip_probability: For each axis of ``flip_axes`` by itself.
        flip_axes: Spatial axes that may be mirrored; None for all.
        rotation_degrees: Largest angle, in each direction.
        rotation_planes: Pairs of spatial axes that span the planes of rotation; None for all. In
            volumes of thick slices only the plane of the slices keeps its shape.
        scale_range: Smallest and largest magnification.
        shift_fraction: Largest shift along an axis, as a share of its length.
        elastic_spacing: Voxels between the control points of the deformation.
        elastic_strength: Standard deviation of the control points' displacement as a share of their
            spacing; displacements are cut so that the image never folds.
        gamma_range: Exponents for the intensity between a channel's minimum and maximum.
        contrast_range: Factors on the distance to the channel's mean.
        brightness: Largest shift, in standard deviations of the channel.
        noise_std: Largest standard deviation of Gaussian noise, in those of the image.
        mask_fill: Class of voxels that come from outside the image; the image gets its channel's
            minimum there.
    """

    flip_probability: float = 0.5
    flip_axes: tuple[int, ...] | None = None
    rotation_probability: float = 0.5
    rotation_degrees: float = 15.0
    rotation_planes: tuple[tuple[int, int], ...] | None = None
    scale_probability: float = 0.5
    scale_range: tuple[float, float] = (0.85, 1.2)
    shift_probability: float = 0.3
    shift_fraction: float = 0.06
    elastic_probability: float = 0.25
    elastic_spacing: float = 40.0
    elastic_strength: float = 0.12
    gamma_probability: float = 0.5
    gamma_range: tuple[float, float] = (0.6, 1.6)
    intensity_probability: float = 0.6
    contrast_range: tuple[float, float] = (0.65, 1.5)
    brightness: float = 0.4
    noise_probability: float = 0.15
    noise_std: float = 0.1
    mask_fill: int = 0

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            ValueError: If a probability lies outside 0..1, or a range is empty or not positive.
        """
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name.endswith("_probability") and not 0 <= value <= 1:
                raise ValueError(f"Augment: {field.name} is {value}; it must be from 0 to 1")
            if field.name.endswith("_range") and not 0 < value[0] <= value[1]:
                raise ValueError(
                    f"Augment: {field.name} is {value}; it must be (smallest, largest), both "
                    "above 0"
                )
        for name in (
            "rotation_degrees",
            "shift_fraction",
            "elastic_strength",
            "brightness",
            "noise_std",
        ):
            if not 0 <= getattr(self, name) < np.inf:
                raise ValueError(f"Augment: {name} is {getattr(self, name)}; it must be 0 or more")
        if not 1 <= self.elastic_spacing < np.inf:
            raise ValueError(
                f"Augment: elastic_spacing is {self.elastic_spacing}; it must be 1 voxel or more"
            )

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Return a changed copy.

        Args:
            sample: Image ``(*spatial, C)`` with 2 or 3 spatial axes; a mask follows the image, a
                class number stays.
            rng: Where all chance comes from.

        Raises:
            ValueError: If the image has another rank.
        """
        image, label = sample.image, sample.label
        shape = image.shape[:-1]
        if len(shape) not in (2, 3):
            raise ValueError(
                f"Augment: {sample.name} has shape {image.shape}; images (H, W, C) and (D, H, W, "
                "C) can be augmented"
            )
        matrix = self._draw_matrix(rng, len(shape))
        shift = self._draw_shift(rng, shape)
        field = self._draw_field(rng, shape)
        if field is not None or shift.any() or (matrix != np.eye(len(shape))).any():
            offset = _about_centre(matrix, shape) + shift
            mask = label if isinstance(label, np.ndarray) else None
            image = resample_image(image, matrix, offset, field)
            if mask is not None:
                label = resample_mask(mask, matrix, offset, field, self.mask_fill)
        image = self._change_intensity(rng, image)
        return replace(sample, image=self._add_noise(rng, image), label=label)

    def _draw_matrix(self, rng: np.random.Generator, rank: int) -> NDArray[np.float64]:
        matrix = np.eye(rank)
        for first, second in self.rotation_planes or combinations(range(rank), 2):
            if rng.random() < self.rotation_probability:
                angle = np.deg2rad(rng.uniform(-self.rotation_degrees, self.rotation_degrees))
                matrix = matrix @ _rotation(rank, first, second, angle)
        if rng.random() < self.scale_probability:
            matrix = matrix / _log_uniform(rng, self.scale_range, 1)
        for axis in self.flip_axes if self.flip_axes is not None else range(rank):
            if rng.random() < self.flip_probability:
                matrix[:, axis] *= -1
        return matrix

    def _draw_shift(self, rng: np.random.Generator, shape: Sequence[int]) -> NDArray[np.float64]:
        if rng.random() >= self.shift_probability:
            return np.zeros(len(shape))
        largest = self.shift_fraction
        shift: NDArray[np.float64] = rng.uniform(-largest, largest, size=len(shape))
        return shift * np.array(shape, dtype=np.float64)

    def _draw_field(
        self, rng: np.random.Generator, shape: Sequence[int]
    ) -> NDArray[np.float32] | None:
        if rng.random() >= self.elastic_probability:
            return None
        return elastic_field(rng, shape, self.elastic_spacing, self.elastic_strength)

    def _change_intensity(
        self, rng: np.random.Generator, image: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        channels = image.shape[-1]
        gamma: NDArray[np.float64] = np.ones(channels)
        scale: NDArray[np.float64] = np.ones(channels)
        brightness: NDArray[np.float64] = np.zeros(channels)
        if rng.random() < self.gamma_probability:
            gamma = _log_uniform(rng, self.gamma_range, channels)
        if rng.random() < self.intensity_probability:
            scale = _log_uniform(rng, self.contrast_range, channels)
            brightness = rng.uniform(-self.brightness, self.brightness, size=(channels,))
        if (gamma == 1).all() and (scale == 1).all() and not brightness.any():
            return image
        mean = _per_channel(np.mean, image).astype(np.float64)
        std = _per_channel(np.std, image).astype(np.float64)
        shift = mean * (1 - scale) + brightness * std
        return adjust_intensity(
            image,
            _per_channel(np.min, image),
            _per_channel(np.max, image),
            gamma=gamma,
            scale=scale,
            shift=shift,
        )

    def _add_noise(
        self, rng: np.random.Generator, image: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        if rng.random() >= self.noise_probability:
            return image
        std = rng.uniform(0, self.noise_std) * float(image.std(dtype=np.float64))
        seed = int(rng.integers(0, 2**63, dtype=np.int64))
        output = _empty(image.shape, np.float32)
        backends.load("cpu").add_gaussian_noise(image, output, std, seed)
        return output


def resample_image(
    image: NDArray[np.float32],
    matrix: NDArray[np.float64],
    offset: NDArray[np.float64],
    field: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Read an image at ``matrix @ o + offset + field[o]`` for every voxel ``o``, linearly.

    Args:
        image: ``(*spatial, C)`` float32, 2 or 3 spatial axes.
        matrix: ``(R, R)``, in voxels.
        offset: ``(R,)``, in voxels.
        field: Displacements ``(*spatial, R)`` in voxels.

    Returns:
        ``(*spatial, C)`` float32; the channel's minimum where nothing is known.
    """
    output = _empty(image.shape, np.float32)
    fill = _per_channel(np.min, image)
    backends.load("cpu").resample_linear(image, output, matrix, offset, field, fill)
    return output


def resample_mask(
    mask: NDArray[np.int64],
    matrix: NDArray[np.float64],
    offset: NDArray[np.float64],
    field: NDArray[np.float32] | None = None,
    fill: int = 0,
) -> NDArray[np.int64]:
    """Read a mask at the same places as :func:`resample_image`, taking the nearest voxel.

    Args:
        mask: ``(*spatial,)`` int64.
        matrix: ``(R, R)``, in voxels.
        offset: ``(R,)``, in voxels.
        field: Displacements ``(*spatial, R)`` in voxels.
        fill: Class outside.
    """
    output = _empty(mask.shape, np.int64)
    backends.load("cpu").resample_nearest(mask, output, matrix, offset, field, fill)
    return output


def adjust_intensity(
    image: NDArray[np.float32],
    low: NDArray[Any],
    high: NDArray[Any],
    gamma: NDArray[Any],
    scale: NDArray[Any],
    shift: NDArray[Any],
) -> NDArray[np.float32]:
    """Bend intensities between ``low`` and ``high`` by ``gamma``, then scale and shift them.

    Args:
        image: ``(*spatial, C)`` float32.
        low: ``(C,)``, stays as it is under gamma.
        high: ``(C,)``, stays as it is under gamma.
        gamma: ``(C,)`` exponents.
        scale: ``(C,)`` factors.
        shift: ``(C,)`` summands.
    """
    output = _empty(image.shape, np.float32)
    numbers = [np.asarray(each, dtype=np.float32) for each in (low, high, gamma, scale, shift)]
    backends.load("cpu").adjust_intensity(image, output, *numbers)
    return output


def elastic_field(
    rng: np.random.Generator, shape: Sequence[int], spacing: float, strength: float
) -> NDArray[np.float32]:
    """Draw a smooth deformation: a cubic B-spline through a coarse grid of random displacements.

    Args:
        rng: Where chance comes from.
        shape: Spatial shape of the image.
        spacing: Voxels between control points.
        strength: Standard deviation of a control point's displacement, as a share of ``spacing``.

    Returns:
        Displacements ``(*shape, R)`` float32 in voxels, without folds.
    """
    coarse = [int((length - 1) / spacing) + 4 for length in shape]
    field: NDArray[Any] = rng.normal(0, strength, size=(*coarse, len(shape)))
    field = (np.clip(field, -_FOLD_FREE, _FOLD_FREE) * spacing).astype(np.float32)
    # From the last axis to the first: the arrays stay small until the last step.
    for axis in reversed(range(len(shape))):
        field = np.moveaxis(_refine(np.moveaxis(field, axis, 0), shape[axis], spacing), 0, axis)
    return np.ascontiguousarray(field)


def _refine(coarse: NDArray[Any], length: int, spacing: float) -> NDArray[Any]:
    """Evaluate the uniform cubic B-spline with the coefficients ``coarse`` at ``length`` points."""
    # Four products and no matrix product: the threads of BLAS would get in the network's way.
    position = np.arange(length) / spacing
    first = np.floor(position).astype(np.intp)
    t = position - first
    taps: NDArray[Any] = np.stack(
        [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, 3 * (t + t**2 - t**3) + 1, t**3], dtype=np.float32
    )
    taps = (taps / 6).reshape(4, length, *[1] * (coarse.ndim - 1))
    result: NDArray[Any] = taps[0] * coarse[first]
    for k in (1, 2, 3):
        result += taps[k] * coarse[first + k]
    return result


def _log_uniform(
    rng: np.random.Generator, edges: tuple[float, float], count: int
) -> NDArray[np.float64]:
    """Draw factors evenly in their logarithm: halving is as likely as doubling."""
    low, high = (float(np.log(edge)) for edge in edges)
    return np.exp(rng.uniform(low, high, size=count))


def _rotation(rank: int, first: int, second: int, angle: float) -> NDArray[np.float64]:
    matrix = np.eye(rank)
    matrix[first, first] = matrix[second, second] = np.cos(angle)
    matrix[first, second], matrix[second, first] = -np.sin(angle), np.sin(angle)
    return matrix


def _about_centre(matrix: NDArray[np.float64], shape: Sequence[int]) -> NDArray[np.float64]:
    centre = (np.array(shape) - 1) / 2
    return centre - matrix @ centre


def _empty(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    array: NDArray[Any] = backends.load("cpu").empty(shape, dtype)
    return array


def _per_channel(
    measure: Callable[[NDArray[np.float32]], Any], image: NDArray[np.float32]
) -> NDArray[np.float32]:
    # Several times faster than a reduction over all axes but a short last one.
    values = [measure(image[..., channel]) for channel in range(image.shape[-1])]
    return np.array(values, dtype=np.float32)

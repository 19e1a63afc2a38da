"""The geometry of a made-up head with a brain tumour, as signed distances in mm.

Coordinates are mm in the patient: x to the patient's left, y to the back, z to the top, with the
origin in the middle of the brain, about where the third ventricle lies. All distances are negative
inside a structure and only roughly metric: a few mm around a border they are right, which is what
drawing it needs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

CORTEX_MM = 3.2
_SULCUS_DEPTH_MM = 19.0

# Centre (|x|, y, z) and half axes in mm of what is the same on both sides.
_VENTRICLES = (
    ((6.5, -25.0, 9.0), (5.0, 13.0, 8.5)),  # frontal horn
    ((8.5, -4.0, 18.0), (5.0, 22.0, 7.0)),  # body
    ((17.0, 27.0, 11.0), (6.0, 12.0, 8.0)),  # trigone
    ((21.0, 42.0, 6.0), (4.0, 13.0, 5.5)),  # occipital horn
)
_THIRD_VENTRICLE = ((0.0, 6.0, 0.0), (2.0, 13.0, 10.0))
_DEEP_GREY = (
    ((13.5, -22.0, 6.0), (4.5, 9.0, 10.0)),  # head of the caudate nucleus
    ((24.0, -4.0, 1.0), (5.5, 16.0, 10.0)),  # lentiform nucleus
    ((10.5, 12.0, 4.0), (8.0, 14.0, 9.0)),  # thalamus
)
_CHOROID_PLEXUS = ((18.0, 30.0, 10.0), (2.2, 5.0, 3.5))
_SYLVIAN_Y = -6.0
_INSULA_X = 38.0


class Waves:
    """Smooth noise of mean 0 and variance 1, defined everywhere: a sum of random plane waves."""

    def __init__(
        self, rng: np.random.Generator, count: int, shortest: float, longest: float
    ) -> None:
        """Draw ``count`` waves with wavelengths from ``shortest`` to ``longest`` mm."""
        direction = rng.normal(size=(count, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        length = rng.uniform(shortest, longest, size=(count, 1))
        self._vectors = (2 * np.pi / length * direction).astype(np.float32)
        self._phases = rng.uniform(0, 2 * np.pi, size=count).astype(np.float32)
        self._scale = np.float32(np.sqrt(2 / count))

    def __call__(self, points: Array) -> Array:
        """Return the noise at ``points (..., 3)``."""
        angles = self._angles(points)
        return np.asarray(self._scale * np.cos(angles).sum(axis=-1), dtype=np.float32)

    def distance_to_zero(self, points: Array) -> Array:
        """Return about how far ``points (..., 3)`` are from the surfaces where the noise is 0."""
        angles = self._angles(points)
        sines = np.sin(angles)
        slope = [(sines * self._vectors[:, axis]).sum(axis=-1) for axis in range(3)]
        steepness = np.linalg.norm(slope, axis=0) + np.float32(0.08)
        return np.asarray(np.abs(np.cos(angles).sum(axis=-1)) / steepness, dtype=np.float32)

    def _angles(self, points: Array) -> Array:
        # Without a matrix product: the threads of BLAS would get in the way of a training network.
        terms = (points[..., axis, None] * self._vectors[:, axis] for axis in range(3))
        return np.asarray(sum(terms, self._phases), dtype=np.float32)


@dataclass(frozen=True)
class Tumour:
    """Where the tumour lies and how it grows; lengths in mm."""

    centre: Array
    stretch: Array
    radius: float
    rim: float
    oedema: float
    mass_effect: float


@dataclass(frozen=True)
class Distances:
    """Signed distances in mm at some points; negative inside.

    ``depth`` is positive inside the brain; ``sulcus`` is the distance to the nearest fold.
    """

    depth: Array
    sulcus: Array
    ventricle: Array
    deep_grey: Array
    choroid_plexus: Array
    tumour: Array
    necrosis: Array
    oedema: Array


class Head:
    """One patient: all shapes are drawn from the generator when the head is made."""

    def __init__(self, rng: np.random.Generator) -> None:
        """Draw the shapes."""
        self._axes = np.array([65.0, 82.0, 60.0]) * rng.normal(1, 0.03, size=3)
        self._turn = np.deg2rad(rng.normal(0, 4))
        self._ventricle_growth = rng.uniform(-0.8, 2.0)
        self._wobble = Waves(rng, 8, 35, 90)
        self._folds = Waves(rng, 20, 16, 25)
        self._tumour_coarse = Waves(rng, 10, 26, 55)
        self._tumour_fine = Waves(rng, 12, 8, 16)
        self.tumour = _draw_tumour(rng)

    def measure(self, points: Array) -> Distances:
        """Return the distances at ``points (..., 3)`` mm."""
        depth = self._depth(points)
        rest = self._at_rest(points, depth)
        rest = rest + 1.6 * np.stack([self._wobble(rest + 31 * k) for k in range(3)], axis=-1)
        mirrored = np.concatenate([np.abs(rest[..., :1]), rest[..., 1:]], axis=-1)
        ventricle = self._ventricle(mirrored)
        sulcus = self._sulcus(rest, mirrored, depth)
        deep_grey = np.min([_ellipsoid(mirrored, *shape) for shape in _DEEP_GREY], axis=0)
        tumour, necrosis = self._tumour_distances(points)
        # Vasogenic oedema follows the white matter: cortex and deep nuclei hold it back.
        white = 1 / (1 + np.exp(2.0 - np.minimum(sulcus, deep_grey + 3) / 1.2))
        reach = self.tumour.oedema * (0.15 + 0.85 * white)
        reach = reach * (1 + 0.4 * np.tanh(self._tumour_coarse(points + 57)))
        oedema = np.maximum(tumour - reach, 0.8 - ventricle)
        plexus = _ellipsoid(mirrored, *_CHOROID_PLEXUS)
        return Distances(depth, sulcus, ventricle, deep_grey, plexus, tumour, necrosis, oedema)

    def texture(self, points: Array) -> Array:
        """Return the fine noise that makes the tumour uneven."""
        return self._tumour_fine(points + 11)

    def _depth(self, points: Array) -> Array:
        cos, sin = np.cos(self._turn), np.sin(self._turn)
        x = points[..., 0] * cos - points[..., 1] * sin
        y = points[..., 0] * sin + points[..., 1] * cos
        # Frontal lobes are narrower than the parietal ones.
        width = self._axes[0] * (1 - 0.11 * np.clip(-(y + 5) / self._axes[1], 0, 1) ** 1.5)
        terms = (np.abs(x) / width, np.abs(y) / self._axes[1])
        radius = sum(t**2.15 for t in terms) + np.abs(points[..., 2] / self._axes[2]) ** 2.15
        depth = (1 - radius ** (1 / 2.15)) * 70 + 0.9 * self._wobble(points + 7)
        return np.asarray(depth, dtype=np.float32)

    def _at_rest(self, points: Array, depth: Array) -> Array:
        """Undo what the tumour pushed aside; the skull does not give way."""
        tumour = self.tumour
        away = points - tumour.centre
        distance = np.linalg.norm(away, axis=-1, keepdims=True) + np.float32(1e-3)
        push = tumour.mass_effect * np.exp(-np.maximum(distance - tumour.radius, 0) / 24)
        push = push * np.clip(depth[..., None] / 22, 0, 1)
        pushed = points - away / distance * np.minimum(push, distance)
        cos, sin = np.cos(self._turn), np.sin(self._turn)
        x, y, z = np.moveaxis(pushed, -1, 0)
        turned = np.stack([x * cos - y * sin, x * sin + y * cos, z], axis=-1)
        return np.asarray(turned, dtype=np.float32)

    def _ventricle(self, mirrored: Array) -> Array:
        parts = [_ellipsoid(mirrored, *shape) for shape in _VENTRICLES]
        joined = -2.0 * np.log(sum(np.exp(-np.clip(part, -20, 60) / 2.0) for part in parts))
        both = np.minimum(joined, _ellipsoid(mirrored, *_THIRD_VENTRICLE))
        return np.asarray(both - self._ventricle_growth, dtype=np.float32)

    def _sulcus(self, rest: Array, mirrored: Array, depth: Array) -> Array:
        below = np.maximum(depth - _SULCUS_DEPTH_MM - 5 * self._wobble(rest + 90), 0)
        folds = np.hypot(self._folds.distance_to_zero(rest), below)
        # The fissure between the hemispheres ends at the corpus callosum.
        callosum = 1 - np.sqrt((rest[..., 1] / 44) ** 2 + ((rest[..., 2] - 2) / 30) ** 2)
        fissure = np.hypot(mirrored[..., 0], np.maximum(callosum * 36, 0))
        return np.asarray(np.min([folds, fissure, _sylvian(mirrored)], axis=0), dtype=np.float32)

    def _tumour_distances(self, points: Array) -> tuple[Array, Array]:
        tumour = self.tumour
        radius = np.linalg.norm((points - tumour.centre) / tumour.stretch, axis=-1)
        coarse, fine = self._tumour_coarse(points), self._tumour_fine(points)
        outer = radius - tumour.radius * (1 + 0.2 * coarse) - 1.0 * fine
        thickness = tumour.rim * (1 + 0.6 * np.tanh(self._tumour_coarse(points + 23)))
        inner = outer + thickness + 0.9 * self._tumour_fine(points + 41)
        return np.asarray(outer, dtype=np.float32), np.asarray(inner, dtype=np.float32)


def _draw_tumour(rng: np.random.Generator) -> Tumour:
    radius = rng.uniform(11, 21)
    side = rng.choice([-1, 1])
    centre = np.array([side * rng.uniform(24, 38), rng.uniform(-38, 42), rng.uniform(0, 26)])
    return Tumour(
        centre=centre.astype(np.float32),
        stretch=rng.uniform(0.85, 1.2, size=3).astype(np.float32),
        radius=radius,
        rim=rng.uniform(3.0, 6.0),
        oedema=rng.uniform(9, 20),
        mass_effect=rng.uniform(0.25, 0.5) * radius,
    )


def _ellipsoid(
    points: Array, centre: tuple[float, float, float], axes: tuple[float, float, float]
) -> Array:
    half = np.array(axes, dtype=np.float32)
    scaled = (points - np.array(centre, dtype=np.float32)) / half
    radius = np.linalg.norm(scaled, axis=-1)
    # Value over gradient: metric near the surface even where the ellipsoid is long and thin.
    slope = np.linalg.norm(scaled / half, axis=-1) + np.float32(1e-6)
    return np.asarray((radius - 1) * radius / slope, dtype=np.float32)


def _sylvian(mirrored: Array) -> Array:
    """Distance to the Sylvian fissure: in from the side, then along the insula."""
    x, y, z = mirrored[..., 0], mirrored[..., 1], mirrored[..., 2]
    course = _SYLVIAN_Y - 0.25 * (x - _INSULA_X) + 0.5 * (z - 4)
    stem = np.hypot(y - course, np.maximum(_INSULA_X - x, 0))
    insula = np.hypot(
        x - _INSULA_X + 0.008 * (y - _SYLVIAN_Y) ** 2, np.maximum(np.abs(y - _SYLVIAN_Y) - 15, 0)
    )
    height = np.maximum(np.abs(z - 2) - 12, 0)
    return np.asarray(np.hypot(np.minimum(stem, insula), height), dtype=np.float32)

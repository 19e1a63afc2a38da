"""A synthetic brain with a tumour, to try things without patients' data.

Nothing here is measured: the anatomy is drawn from simple shapes, contrasts are plausible values.
A network that works on it has shown that the software works, nothing about patients.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelgrad.data.datasets import Dataset, Once, Sample
from voxelgrad.data.intensity import Standardise
from voxelgrad.data.phantom_head import CORTEX_MM, Array, Distances, Head, Waves

MODALITIES = ("T1", "T1CE", "T2", "FLAIR")
CLASSES = ("background", "necrotic core", "oedema", "enhancing tumour")

# What a picture shows, in mm: height (front to back), width; and how thick a volume is.
FIELD_OF_VIEW_MM = (190.0, 160.0)
_THICKNESS_MM = 130.0

# Brightness of tissues in T1, T1CE, T2, FLAIR; white matter in T1 is about 0.7.
_WHITE = (0.70, 0.72, 0.36, 0.42)
_GREY = (0.52, 0.55, 0.52, 0.56)
_DEEP_GREY = (0.58, 0.61, 0.45, 0.50)
_CSF = (0.16, 0.17, 1.00, 0.10)
_OEDEMA = (0.47, 0.49, 0.80, 0.92)
_NECROSIS = (0.27, 0.26, 0.86, 0.42)
_ENHANCING = (0.46, 1.12, 0.60, 0.72)
_CHOROID = (0.45, 0.90, 0.75, 0.45)
_VESSEL = (0.40, 0.95, 0.40, 0.40)


def phantom(
    seed: int, size: Sequence[int] | None = None, spatial_dims: int = 2
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Make one synthetic head with a glioblastoma-like tumour.

    Args:
        seed: Decides everything; the same seed is the same head, in 2D the slice through the middle
            of its tumour.
        size: ``(H, W)``, or ``(D, H, W)`` with D from feet to head; ``(160, 128)`` and
            ``(64, 80, 64)`` without it. Whatever the size, the same piece of the world is shown:
            190 mm from front (top) to back, 160 mm from side to side (the patient's left is on the
            right), 130 mm from bottom to top.
        spatial_dims: 2 for an axial slice, 3 for a volume.

    Returns:
        The image ``(*size, 4)`` float32 with the channels T1, T1CE, T2, FLAIR in arbitrary units,
        0 outside the brain (as after skull stripping), and the label ``(*size,)`` int64: 0 healthy
        and background, 1 necrotic core, 2 oedema, 3 enhancing rim. These are the regions of the
        BraTS challenges, whose 4 (enhancing) is 3 here so that the classes have no gap.

    Raises:
        ValueError: If ``seed`` is negative, or ``size`` and ``spatial_dims`` do not fit.
    """
    if spatial_dims not in (2, 3):
        raise ValueError(f"phantom: spatial_dims is {spatial_dims}; it must be 2 or 3")
    shape = tuple(size) if size is not None else ((160, 128), (64, 80, 64))[spatial_dims - 2]
    _check(seed, shape, spatial_dims)
    head, scanner = _draw(seed)
    if spatial_dims == 3:
        edges = np.linspace(-_THICKNESS_MM / 2, _THICKNESS_MM / 2, shape[0] + 1)
        levels = (edges[1:] + edges[:-1]) / 2
        slices = [scanner.scan(head, shape[1:], z, k) for k, z in enumerate(levels)]
        return np.stack([s[0] for s in slices]), np.stack([s[1] for s in slices])
    return scanner.scan(head, shape, float(head.tumour.centre[2]), 0)


class PhantomDataset(Dataset):
    """Synthetic patients, each with a few axial slices through and beside the tumour."""

    def __init__(
        self,
        count: int = 32,
        seed: int = 0,
        size: Sequence[int] | None = None,
        slices_per_case: int = 4,
        spatial_dims: int = 2,
        standardise: Standardise | None = Standardise(),  # noqa: B008  (frozen)
    ) -> None:
        """Choose the patients; they are made when asked for, and made again each time.

        Args:
            count: How many patients.
            seed: Which ones; patients of different seeds are different.
            size: As for :func:`phantom`.
            slices_per_case: Slices of a patient, in 2D.
            spatial_dims: 2 for slices, 3 for one volume a patient.
            standardise: How to scale intensities; None keeps arbitrary units.

        Raises:
            ValueError: If a number is out of range.
        """
        if spatial_dims not in (2, 3):
            raise ValueError(f"PhantomDataset: spatial_dims is {spatial_dims}; it must be 2 or 3")
        if count < 1 or slices_per_case < 1:
            raise ValueError(
                f"PhantomDataset: count is {count}, slices_per_case {slices_per_case}; both must "
                "be 1 or more"
            )
        self._shape = (
            tuple(size) if size is not None else ((160, 128), (64, 80, 64))[spatial_dims - 2]
        )
        _check(seed, self._shape, spatial_dims)
        self._seeds = [
            int(np.random.SeedSequence([seed, k]).generate_state(1)[0]) for k in range(count)
        ]
        self._seed = seed
        self._spatial_dims = spatial_dims
        self._per_case = slices_per_case if spatial_dims == 2 else 1
        self._standardise = standardise
        self._heads: Once[tuple[Head, _Scanner]] = Once()

    @property
    def cases(self) -> Sequence[str]:
        """``phantom_<seed>_000``, ... for each sample."""
        return [self._case(k) for k in range(len(self._seeds)) for _ in range(self._per_case)]

    @property
    def names(self) -> Sequence[str]:
        """The case and, in 2D, the number of the slice."""
        if self._spatial_dims == 3:
            return self.cases
        numbers = range(self._per_case)
        return [f"{self._case(k)}_{n}" for k in range(len(self._seeds)) for n in numbers]

    @property
    def volumes(self) -> Sequence[str]:
        """The case of each sample: its slices are one volume."""
        return self.cases

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self._seeds) * self._per_case

    def __getitem__(self, index: int) -> Sample:
        """Make sample ``index``: image ``(*size, 4)``, mask ``(*size,)``."""
        k, number = divmod(index, self._per_case)
        if not 0 <= k < len(self._seeds):
            raise IndexError(f"PhantomDataset: index {index} of {len(self)} samples")
        name = self._case(k)
        if self._spatial_dims == 3:
            image, label = phantom(self._seeds[k], self._shape, 3)
        else:
            image, label = self._slice(self._seeds[k], number)
            name = f"{name}_{number}"
        scaled = image if self._standardise is None else self._standardise(image)
        return Sample(scaled, label, self._case(k), name)

    def _slice(self, seed: int, number: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        head, scanner = self._heads.get(str(seed), lambda: _draw(seed))
        reach = 1.1 * head.tumour.radius
        offset = (number + 0.5) / self._per_case * 2 - 1
        return scanner.scan(
            head, self._shape, float(head.tumour.centre[2]) + offset * reach, number
        )

    def _case(self, k: int) -> str:
        return f"phantom_{self._seed}_{k:03d}"


class _Scanner:
    """What differs between examinations: gain, contrast, coil profile, noise."""

    def __init__(self, rng: np.random.Generator, seed: int) -> None:
        count = len(MODALITIES)
        self._gain = np.exp(rng.normal(0, 0.2, size=count)).astype(np.float32)
        self._contrast = rng.normal(1, 0.04, size=(16, count)).astype(np.float32)
        self._coil = [Waves(rng, 5, 160, 320) for _ in range(count)]
        self._vessels = Waves(rng, 16, 9, 16)
        self._tissue = Waves(rng, 12, 14, 40)
        self._noise = rng.uniform(0.015, 0.035)
        self._seed = seed

    def scan(
        self, head: Head, shape: Sequence[int], z: float, number: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return image ``(H, W, 4)`` and label ``(H, W)`` of the axial slice at height ``z`` mm."""
        points = _grid(shape, z)
        distances = head.measure(points)
        image = self._paint(head, points, distances)
        for k, coil in enumerate(self._coil):
            image[..., k] *= np.exp(0.10 * coil(points))
        noise = np.random.default_rng([self._seed, 1, number]).normal(size=(2, *image.shape))
        # The magnitude of a complex signal with Gaussian noise in both parts: Rician.
        image = np.hypot(image + self._noise * noise[0], self._noise * noise[1])
        image = image * self._gain * (distances.depth > 0)[..., None]
        return np.ascontiguousarray(image, dtype=np.float32), _label(distances)

    def _paint(self, head: Head, points: Array, d: Distances) -> Array:
        blur = max(0.45, 0.5 * FIELD_OF_VIEW_MM[0] / points.shape[0])
        cortex = np.minimum(d.depth, d.sulcus) - CORTEX_MM
        # Folds get narrower towards their bottom.
        fold = d.sulcus - 0.55 + 0.02 * np.clip(d.depth, 0, 12)
        vessel = np.maximum(d.sulcus - 1.0, 3.5 * (1.35 - self._vessels(points)))
        vessel = np.maximum(vessel, d.depth - 12)
        texture: NDArray[Any] = head.texture(points)[..., None]
        tissue: NDArray[Any] = 1 + 0.025 * self._tissue(points)[..., None]
        image: NDArray[Any] = self._shade(_WHITE, 0) * tissue
        image = _over(image, self._shade(_GREY, 1) * tissue, cortex, blur)
        image = _over(image, self._shade(_DEEP_GREY, 2) * tissue, d.deep_grey, blur)
        # Normal ageing: a thin bright border around the ventricles in FLAIR.
        border = np.exp(-((d.ventricle / 1.8) ** 2))[..., None]
        image = image + border * np.array([0, 0, 0.05, 0.16], dtype=np.float32)
        image = _over(image, self._shade(_OEDEMA, 3) * (1 + 0.04 * texture), d.oedema, 1.6 * blur)
        image = _over(image, self._shade(_CSF, 4), np.minimum(fold, d.depth - 0.4), blur)
        image = _over(image, self._shade(_CSF, 4), d.ventricle, blur)
        image = _over(image, self._shade(_CHOROID, 5), d.choroid_plexus, blur)
        image = _over(image, self._shade(_VESSEL, 6), vessel, blur)
        image = _over(image, self._shade(_ENHANCING, 7) * (1 + 0.09 * texture), d.tumour, blur)
        return _over(image, self._shade(_NECROSIS, 8) * (1 + 0.10 * texture), d.necrosis, blur)

    def _shade(self, tissue: Sequence[float], row: int) -> Array:
        return np.asarray(self._contrast[row] * np.array(tissue), dtype=np.float32)


def _draw(seed: int) -> tuple[Head, _Scanner]:
    rng = np.random.default_rng([seed, 0])
    return Head(rng), _Scanner(rng, seed)


def _over(image: NDArray[Any], colour: NDArray[Any], distance: NDArray[Any], blur: float) -> Array:
    """Paint ``colour`` where ``distance`` is negative, with a border as soft as a voxel is wide."""
    share = 1 / (1 + np.exp(np.clip(distance / (0.5 * blur), -30, 30)))
    return np.asarray(image + (colour - image) * share[..., None], dtype=np.float32)


def _label(d: Distances) -> NDArray[np.int64]:
    label = np.where(d.oedema < 0, 2, 0)
    # Fluid in folds is no oedema, however close to the tumour.
    label[(d.sulcus < 0.5) & (label == 2)] = 0
    label[d.tumour < 0] = 3
    label[d.necrosis < 0] = 1
    label[d.depth <= 0] = 0
    return label.astype(np.int64)


def _grid(shape: Sequence[int], z: float) -> Array:
    axes = [
        (np.arange(n) + 0.5) / n * extent - extent / 2
        for n, extent in zip(shape, FIELD_OF_VIEW_MM, strict=True)
    ]
    y, x = np.meshgrid(*axes, indexing="ij")
    return np.stack([x, y, np.full_like(x, z)], axis=-1).astype(np.float32)


def _check(seed: int, shape: Sequence[int], spatial_dims: int) -> None:
    if seed < 0:
        raise ValueError(f"phantom: seed is {seed}; it must be 0 or more")
    if len(shape) != spatial_dims or min(shape) < 8:
        raise ValueError(
            f"phantom: size is {tuple(shape)} for spatial_dims={spatial_dims}; it must have "
            f"{spatial_dims} numbers, each 8 or more"
        )

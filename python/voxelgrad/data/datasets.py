"""What a dataset is, and the one that holds arrays in memory."""

from __future__ import annotations

import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from voxelgrad.data.readers import check_image, check_label

T = TypeVar("T")
Label = NDArray[np.int64] | int | None


@dataclass(frozen=True)
class Sample:
    """One image with its label.

    Attributes:
        image: ``(*spatial, C)`` float32.
        label: Mask ``(*spatial,)`` int64, or the class of the whole image, or None.
        case: The patient; splits never separate samples of one case.
        name: Which slice or file, unique in its dataset.
        affine: ``(4, 4)`` voxel indices to mm, for volumes that have one.
    """

    image: NDArray[np.float32]
    label: Label
    case: str
    name: str
    affine: NDArray[np.float64] | None = None


class Dataset(ABC):
    """A sequence of samples whose names and patients are known without reading them."""

    @property
    @abstractmethod
    def cases(self) -> Sequence[str]:
        """The patient of each sample."""

    @property
    @abstractmethod
    def names(self) -> Sequence[str]:
        """The name of each sample."""

    @property
    def volumes(self) -> Sequence[str]:
        """The volume of each sample; its slices follow each other from first to last."""
        return self.cases

    @abstractmethod
    def __getitem__(self, index: int) -> Sample:
        """Read sample ``index``; safe to call from several threads."""

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.names)


class Subset(Dataset):
    """Some samples of a dataset, in a given order."""

    def __init__(self, dataset: Dataset, indices: Sequence[int]) -> None:
        """Take the samples ``indices`` of ``dataset``.

        Raises:
            ValueError: If an index lies outside the dataset.
        """
        outside = [index for index in indices if not 0 <= index < len(dataset)]
        if outside:
            raise ValueError(
                f"Subset: index {outside[0]} lies outside a dataset of {len(dataset)} samples"
            )
        self.dataset = dataset
        self.indices = [int(index) for index in indices]

    @property
    def cases(self) -> Sequence[str]:
        """The patient of each sample."""
        cases = self.dataset.cases
        return [cases[index] for index in self.indices]

    @property
    def names(self) -> Sequence[str]:
        """The name of each sample."""
        names = self.dataset.names
        return [names[index] for index in self.indices]

    @property
    def volumes(self) -> Sequence[str]:
        """The volume of each sample."""
        volumes = self.dataset.volumes
        return [volumes[index] for index in self.indices]

    def __getitem__(self, index: int) -> Sample:
        """Return sample ``index`` of the subset."""
        return self.dataset[self.indices[index]]


class Cached(Dataset):
    """A dataset whose samples stay in memory once read, masks in the smallest integer type."""

    def __init__(self, dataset: Dataset) -> None:
        """Keep the samples of ``dataset``."""
        self.dataset = dataset
        self._kept: dict[int, Sample] = {}

    @property
    def cases(self) -> Sequence[str]:
        """The patient of each sample."""
        return self.dataset.cases

    @property
    def names(self) -> Sequence[str]:
        """The name of each sample."""
        return self.dataset.names

    @property
    def volumes(self) -> Sequence[str]:
        """The volume of each sample."""
        return self.dataset.volumes

    def __getitem__(self, index: int) -> Sample:
        """Return sample ``index``, read the first time only."""
        sample = self._kept.get(index)
        if sample is None:
            sample = self.dataset[index]
            self._kept[index] = replace(sample, label=_compact(sample.label))
            return sample
        if isinstance(sample.label, np.ndarray):
            return replace(sample, label=sample.label.astype(np.int64))
        return sample


class ArrayDataset(Dataset):
    """Images and labels that are in memory already."""

    def __init__(
        self,
        images: NDArray[Any] | Sequence[NDArray[Any]],
        labels: NDArray[Any] | Sequence[Any] | None = None,
        cases: Sequence[str] | None = None,
        names: Sequence[str] | None = None,
        affine: NDArray[np.float64] | None = None,
    ) -> None:
        """Check the arrays and hold them.

        Args:
            images: ``(N, *spatial, C)``, or N arrays ``(*spatial, C)``.
            labels: Masks ``(N, *spatial)``, or N class numbers, or None.
            cases: N patients; without them each image counts as a patient of its own.
            names: N unique names; ``"0"``, ``"1"``, ... without them.
            affine: ``(4, 4)`` of all images.

        Raises:
            ValueError: If lengths or shapes do not match, or values are not finite.
        """
        if len(images) == 0:
            raise ValueError("ArrayDataset: images is empty; at least one image is needed")
        self._names = [str(name) for name in names] if names is not None else _numbers(len(images))
        self._cases = [str(case) for case in cases] if cases is not None else list(self._names)
        for argument, values in (("labels", labels), ("cases", cases), ("names", names)):
            if values is not None and len(values) != len(images):
                raise ValueError(
                    f"ArrayDataset: {argument} has {len(values)} entries for {len(images)} images"
                )
        self._affine = affine
        self._images = [
            check_image(np.asarray(image), f"ArrayDataset: images[{i}]")
            for i, image in enumerate(images)
        ]
        self._labels: list[Label] = [None] * len(images)
        if labels is not None:
            self._labels = [
                checked_label(labels[i], self._images[i], f"ArrayDataset: labels[{i}]")
                for i in range(len(images))
            ]

    @property
    def cases(self) -> Sequence[str]:
        """The patient of each sample."""
        return self._cases

    @property
    def names(self) -> Sequence[str]:
        """The name of each sample."""
        return self._names

    def __getitem__(self, index: int) -> Sample:
        """Return sample ``index`` (its arrays are not copied)."""
        return Sample(
            self._images[index],
            self._labels[index],
            self._cases[index],
            self._names[index],
            self._affine,
        )


def checked_label(label: Any, image: NDArray[np.float32], origin: str) -> Label:
    """Return a mask or class number that fits ``image``.

    Args:
        label: Mask ``(*spatial,)`` or a whole number from 0 on.
        image: ``(*spatial, C)``.
        origin: File or argument that the error shall name.

    Raises:
        ValueError: If a mask has another shape than the image, or values that are no class numbers.
    """
    array = np.asarray(label)
    if array.ndim == 0:
        return int(check_label(array[None], origin)[0])
    mask = check_label(array, origin)
    if mask.shape != image.shape[:-1]:
        raise ValueError(
            f"{origin}: mask has shape {mask.shape}, its image {image.shape[:-1]} (and "
            f"{image.shape[-1]} channels); both must be the same grid"
        )
    return mask


def map_labels(
    mask: NDArray[np.int64], mapping: Mapping[int, int] | None, origin: str
) -> NDArray[np.int64]:
    """Return the mask with its classes renamed, such as ``{4: 3}`` or ``{1: 1, 2: 1, 3: 1, 4: 1}``.

    Args:
        mask: ``(*spatial,)``; classes that the mapping does not name stay.
        mapping: Old class to new class; None leaves the mask as it is.
        origin: File that the error shall name.

    Raises:
        ValueError: If a new class is negative.
    """
    if not mapping:
        return mask
    if min(mapping.values()) < 0:
        raise ValueError(f"{origin}: the label mapping {dict(mapping)} has a negative class")
    table = np.arange(max(int(mask.max()), *mapping) + 1)
    for old, new in mapping.items():
        table[old] = new
    return table[mask]


def patient_of(case: str) -> str:
    """Return the patient of a case name: without the date ``_YYYYMMDD`` of the examination."""
    return re.sub(r"[_-](19|20)\d{6}$", "", case)


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key under which ``slice_2`` comes before ``slice_10``."""
    parts = re.split(r"(\d+)", name)
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts if part]


class Once(Generic[T]):
    """Values that are computed once per key, also when several threads ask at the same time."""

    def __init__(self) -> None:
        """Start empty."""
        self._values: dict[str, T] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()

    def get(self, key: str, compute: Callable[[], T]) -> T:
        """Return the value of ``key``, from ``compute()`` the first time."""
        with self._guard:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._values:
                self._values[key] = compute()
            return self._values[key]

    def forget(self, key: str) -> None:
        """Drop the value of ``key``."""
        self._values.pop(key, None)


def _compact(label: Label) -> Any:
    if not isinstance(label, np.ndarray):
        return label
    return label.astype(np.min_scalar_type(int(label.max())))


def _numbers(count: int) -> list[str]:
    return [str(i) for i in range(count)]

"""NIfTI volumes: a folder per case, one file per modality and one with the labels."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from voxelgrad.data.datasets import (
    Dataset,
    Once,
    Sample,
    checked_label,
    map_labels,
    natural_key,
    patient_of,
)
from voxelgrad.data.intensity import Standardise
from voxelgrad.data.readers import (
    PathLike,
    Volume,
    check_image,
    nifti_shape,
    read_image,
    read_label,
)


@dataclass(frozen=True)
class _Volume:
    images: tuple[Path, ...]
    label: Path | None
    case: str
    name: str


class NiftiPairs(Dataset):
    """Cases of several modalities, as volumes or slice by slice.

    File names are given by patterns: ``*`` stands for anything, ``{visit}`` for the part that tells
    several examinations in one case folder apart, as in ``"{visit}_T1.nii.gz"`` with
    ``"{visit}_Mask.nii.gz"``.
    """

    def __init__(
        self,
        root: PathLike,
        images: Sequence[str],
        label: str | None = None,
        mode: Literal["volumes", "slices"] = "volumes",
        axis: int = 2,
        standardise: Standardise | None = Standardise(),  # noqa: B008  (frozen)
        label_map: Mapping[int, int] | None = None,
        skip_empty: bool = False,
        volumes_in_memory: int = 16,
        patient: Callable[[str], str] = patient_of,
    ) -> None:
        """List the cases; in mode ``"slices"`` their headers are read to count the slices.

        Args:
            root: Folder of case folders.
            images: One pattern per modality; their order is the order of the channels.
            label: Pattern of the label file; None for prediction.
            mode: What a sample is: a whole volume, or one slice of it.
            axis: Along which axis of the file slices are cut; 2 is axial for scans stored as usual.
            standardise: How to scale intensities; None keeps the values of the file.
            label_map: Renames classes, old to new, such as ``{4: 3}``.
            skip_empty: In mode ``"slices"``, leave out slices whose image is constant (air above
                the head).
            volumes_in_memory: How many volumes to keep; slices in shuffled order need all of them
                to be fast.
            patient: Gives the patient of a case folder's name.

        Raises:
            ValueError: If there is no case, or a case lacks a file, or a pattern fits several of
                its files; the case is named.
        """
        if mode not in ("volumes", "slices"):
            raise ValueError(f"NiftiPairs: mode is {mode!r}; it must be 'volumes' or 'slices'")
        if axis not in (0, 1, 2):
            raise ValueError(f"NiftiPairs: axis is {axis}; it must be 0, 1 or 2")
        if not images or volumes_in_memory < 1:
            raise ValueError(
                "NiftiPairs: images needs at least one pattern, volumes_in_memory at least 1"
            )
        self.root = Path(root)
        self._axis = axis
        self._standardise = standardise
        self._label_map = label_map
        self._keep = volumes_in_memory
        self._volumes = _list_volumes(self.root, images, label, patient)
        self._samples: Once[Sample] = Once()
        self._recent: list[str] = []
        self._lock = threading.Lock()
        # (volume, slice) of each sample; a slice of None is the whole volume.
        self._index: list[tuple[int, int | None]] = [
            (v, k) for v in range(len(self._volumes)) for k in self._slices_of(v, mode, skip_empty)
        ]
        self._names = [self._name(v, k) for v, k in self._index]

    @property
    def cases(self) -> Sequence[str]:
        """The patient of each sample."""
        return [self._volumes[v].case for v, _ in self._index]

    @property
    def names(self) -> Sequence[str]:
        """``<case>`` or ``<case>/<visit>``, for slices followed by their number."""
        return self._names

    @property
    def volumes(self) -> Sequence[str]:
        """The volume of each sample: slices of one volume follow each other from first to last."""
        return [self._volumes[v].name for v, _ in self._index]

    def __getitem__(self, index: int) -> Sample:
        """Read sample ``index``: image ``(X, Y, Z, C)``, or one slice of it such as ``(X, Y, C)``.

        Raises:
            ValueError: If a file is damaged, or modalities or mask lie on different grids; files
                are named.
        """
        v, k = self._index[index]
        volume = self._sample_of(v)
        if k is None:
            return volume
        image = np.ascontiguousarray(np.take(volume.image, k, axis=self._axis))
        label = volume.label
        if isinstance(label, np.ndarray):
            label = np.ascontiguousarray(np.take(label, k, axis=self._axis))
        return Sample(image, label, volume.case, self._names[index], volume.affine)

    def reference(self, index: int) -> Volume:
        """Read the first modality of the volume of sample ``index``, for its header and affine."""
        return read_image(self._volumes[self._index[index][0]].images[0])

    def _sample_of(self, v: int) -> Sample:
        item = self._volumes[v]
        sample = self._samples.get(item.name, lambda: self._read(item))
        with self._lock:
            self._recent = [name for name in self._recent if name != item.name] + [item.name]
            for name in self._recent[: -self._keep]:
                self._samples.forget(name)
            self._recent = self._recent[-self._keep :]
        return sample

    def _read(self, item: _Volume) -> Sample:
        volumes = [read_image(path) for path in item.images]
        for path, volume in zip(item.images, volumes, strict=True):
            _check_same_grid(path, volume, item.images[0], volumes[0])
        image = check_image(np.concatenate([volume.data for volume in volumes], axis=-1), item.name)
        if self._standardise is not None:
            image = self._standardise(image)
        label = None
        if item.label is not None:
            mask = read_label(item.label)
            _check_same_grid(item.label, mask, item.images[0], volumes[0])
            data = map_labels(mask.data, self._label_map, str(item.label))
            label = checked_label(data, image, f"{item.label} (mask of {item.images[0].name})")
        return Sample(image, label, item.case, item.name, volumes[0].affine)

    def _slices_of(self, v: int, mode: str, skip_empty: bool) -> list[int] | list[None]:
        if mode == "volumes":
            return [None]
        if not skip_empty:
            return list(range(_length(self._volumes[v].images[0], self._axis)))
        image = np.moveaxis(self._sample_of(v).image, self._axis, 0)
        flat = image.reshape(image.shape[0], -1, image.shape[-1])
        return [int(k) for k in np.flatnonzero((flat != flat[:, :1]).any(axis=(1, 2)))]

    def _name(self, v: int, k: int | None) -> str:
        name = self._volumes[v].name
        return name if k is None else f"{name}_{k}"


def _length(path: Path, axis: int) -> int:
    shape = nifti_shape(path)
    if len(shape) < 3:
        raise ValueError(f"{path}: has shape {shape}; cutting slices needs a volume of three axes")
    return shape[axis]


def _list_volumes(
    root: Path, images: Sequence[str], label: str | None, patient: Callable[[str], str]
) -> list[_Volume]:
    if not root.is_dir():
        raise ValueError(f"{root}: there is no such folder; check the name")
    folders = sorted((p for p in root.iterdir() if p.is_dir()), key=lambda p: natural_key(p.name))
    volumes = [v for folder in folders for v in _volumes_in(folder, images, label, patient)]
    if not volumes:
        raise ValueError(
            f"{root}: no case folder holds files that fit {list(images)}; expected "
            "<case>/<file>.nii.gz"
        )
    return volumes


def _volumes_in(
    folder: Path, images: Sequence[str], label: str | None, patient: Callable[[str], str]
) -> list[_Volume]:
    patterns = [*images, *([label] if label else [])]
    files = sorted(path for path in folder.iterdir() if path.is_file())
    matches = [_match(folder, pattern, files) for pattern in patterns]
    visits = sorted({visit for match in matches for visit in match}, key=natural_key)
    volumes = []
    for visit in visits:
        missing = [
            pattern for pattern, match in zip(patterns, matches, strict=True) if visit not in match
        ]
        if missing:
            where = f"{folder} ({visit})" if visit else str(folder)
            raise ValueError(
                f"{where}: no file fits {missing}; every case needs one for each of {patterns}"
            )
        paths = [match[visit] for match in matches]
        name = f"{folder.name}/{visit}" if visit else folder.name
        chosen = paths[: len(images)]
        volumes.append(
            _Volume(tuple(chosen), paths[-1] if label else None, patient(folder.name), name)
        )
    return volumes


def _match(folder: Path, pattern: str, files: Sequence[Path]) -> dict[str, Path]:
    text = re.escape(pattern).replace(r"\*", ".*")
    expression = re.compile(text.replace(r"\{visit\}", "(?P<visit>.+?)"))
    found: dict[str, Path] = {}
    for path in files:
        match = expression.fullmatch(path.name)
        if match is None:
            continue
        visit = match.groupdict().get("visit", "")
        if visit in found:
            raise ValueError(
                f"{folder}: {found[visit].name} and {path.name} both fit {pattern!r}; one file "
                "per case is "
                "needed: make the pattern longer, or tell examinations apart with {visit}"
            )
        found[visit] = path
    return found


def _check_same_grid(path: Path, volume: Volume, first_path: Path, first: Volume) -> None:
    shape = volume.data.shape[:3]
    if shape != first.data.shape[:3]:
        raise ValueError(
            f"{path}: has shape {shape}, {first_path.name} of the same case "
            f"{first.data.shape[:3]}; all files of a case must lie on one grid: resample them "
            "first"
        )
    if volume.affine is None or first.affine is None:
        return
    # A tenth of a millimetre at the far corner is rounding; more is another position in the
    # scanner.
    corner = np.array([*shape, 1.0])
    if np.abs((volume.affine - first.affine) @ corner).max() > 0.1 + 1e-3 * max(first.spacing):
        raise ValueError(
            f"{path}: its affine places it elsewhere than {first_path.name}; all files of a case "
            "must lie on one grid: resample them first"
        )

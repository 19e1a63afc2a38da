"""Slices as PNG files with a mask beside each."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from voxelgrad.data.datasets import (
    Dataset,
    Once,
    Sample,
    checked_label,
    map_labels,
    natural_key,
    patient_of,
)
from voxelgrad.data.intensity import Standardise, Statistics
from voxelgrad.data.readers import PathLike, read_image, read_label


@dataclass(frozen=True)
class _Slice:
    image: Path
    mask: Path | None
    volume: str
    case: str


class SliceFolder(Dataset):
    """A folder of folders: ``<case>/<case>_<slice>.png`` and ``<case>/<case>_<slice>_mask.png``.

    Or two folders, ``images/<case>_<slice>.png`` and ``masks/<case>_<slice>.png`` of the same name.
    The slices of a case folder are one volume, ordered by their number. PNG files directly in the
    root count as one case.
    """

    def __init__(
        self,
        root: PathLike,
        standardise: Standardise | None = Standardise(),  # noqa: B008  (frozen)
        masks: bool = True,
        label_map: Mapping[int, int] | None = None,
        patient: Callable[[str], str] = patient_of,
    ) -> None:
        """List the slices; images are read when asked for.

        Args:
            root: The folder.
            standardise: How to scale intensities; None keeps the values of the file.
            masks: True asks for a mask beside every slice; False ignores masks (prediction).
            label_map: Renames classes, old to new.
            patient: Gives the patient of a case folder's name.

        Raises:
            ValueError: If there are no slices, or slices without mask, or masks without slice;
                files are named.
        """
        self.root = Path(root)
        self._standardise = standardise
        self._label_map = label_map
        self._slices = _list_slices(self.root, masks, patient)
        self._names = [_name(item.image, self.root) for item in self._slices]
        self._cases = [item.case for item in self._slices]
        self._statistics: Once[Statistics] = Once()

    @property
    def cases(self) -> Sequence[str]:
        """The patient of each slice."""
        return self._cases

    @property
    def names(self) -> Sequence[str]:
        """``<folder>/<file>`` of each slice, without ``.png``."""
        return self._names

    @property
    def volumes(self) -> Sequence[str]:
        """The case folder of each slice; slices of one volume follow each other in order."""
        return [item.volume for item in self._slices]

    @property
    def paths(self) -> Sequence[Path]:
        """The image file of each slice."""
        return [item.image for item in self._slices]

    def __getitem__(self, index: int) -> Sample:
        """Read slice ``index``: image ``(H, W, C)``, mask ``(H, W)`` or None.

        Raises:
            ValueError: If a file is damaged or image and mask differ in size; files are named.
        """
        item = self._slices[index]
        image = self._scaled(item)
        label = None
        if item.mask is not None:
            mask = map_labels(read_label(item.mask).data, self._label_map, str(item.mask))
            label = checked_label(mask, image, f"{item.mask} (mask of {item.image.name})")
        return Sample(image, label, item.case, self._names[index])

    def _scaled(self, item: _Slice) -> NDArray[np.float32]:
        image = read_image(item.image).data
        if self._standardise is None:
            return image
        if self._standardise.per == "image":
            return self._standardise(image)
        statistics = self._statistics.get(item.volume, lambda: self._measure_volume(item.volume))
        return self._standardise.apply(image, statistics)

    def _measure_volume(self, volume: str) -> Statistics:
        assert self._standardise is not None
        slices = [item for item in self._slices if item.volume == volume]
        images = [read_image(item.image).data for item in slices]
        for item, image in zip(slices, images, strict=True):
            if image.shape != images[0].shape:
                raise ValueError(
                    f"{item.image}: slice has shape {image.shape}, {slices[0].image.name} of the "
                    f"same case {images[0].shape}; slices of one case must have one shape"
                )
        return self._standardise.measure(np.stack(images))


def image_and_mask_folders(root: Path) -> tuple[Path, Path | None] | None:
    """Return the folders ``images`` and ``masks`` (or ``labels``) of ``root``, if it has the first.

    The plural s may be missing.
    """
    images, masks = (
        next((root / name for name in names if (root / name).is_dir()), None)
        for names in (("images", "image"), ("masks", "mask", "labels", "label"))
    )
    return None if images is None else (images, masks)


def _list_slices(root: Path, masks: bool, patient: Callable[[str], str]) -> list[_Slice]:
    if not root.is_dir():
        raise ValueError(f"{root}: there is no such folder; check the name")
    folders = image_and_mask_folders(root)
    if folders is None:
        images, pairs, mask_files = _beside_each_other(root)
    else:
        images, pairs, mask_files = _in_two_folders(*folders)
    if not images:
        raise ValueError(
            f"{root}: no slices found; expected <case>/<case>_<slice>.png with "
            "<case>/<case>_<slice>_mask.png, or images/<name>.png with masks/<name>.png"
        )
    if masks:
        _check_pairs(root, pairs, mask_files)
    # Without case folders the case is what stands before the number of the slice.
    volumes = [
        path.parent.name if folders is None else re.sub(r"_\d+$", "", path.stem) for path in images
    ]
    slices = [
        _Slice(path, pairs[path] if masks else None, volume, patient(volume))
        for path, volume in zip(images, volumes, strict=True)
    ]
    return sorted(slices, key=lambda item: (natural_key(item.volume), natural_key(item.image.stem)))


def _beside_each_other(root: Path) -> tuple[list[Path], dict[Path, Path], set[Path]]:
    found = sorted(root.glob("*.png")) + sorted(root.glob("*/*.png"))
    mask_files = {path for path in found if path.stem.endswith("_mask")}
    images = [path for path in found if path not in mask_files]
    return images, {path: path.with_name(f"{path.stem}_mask.png") for path in images}, mask_files


def _in_two_folders(
    image_folder: Path, mask_folder: Path | None
) -> tuple[list[Path], dict[Path, Path], set[Path]]:
    images = sorted(image_folder.glob("*.png"))
    # A mask folder that is not there is reported as missing masks.
    place = mask_folder or image_folder.with_name("masks")
    return images, {path: place / path.name for path in images}, set(place.glob("*.png"))


def _check_pairs(root: Path, pairs: dict[Path, Path], mask_files: set[Path]) -> None:
    missing = [path for path, mask in pairs.items() if mask not in mask_files]
    if missing:
        raise ValueError(
            f"{root}: {len(missing)} of {len(pairs)} slices have no mask: {_some(missing, root)}; "
            f"the first one's is looked for at {pairs[missing[0]].relative_to(root)} (all zeros "
            "where there is no tumour)"
        )
    orphans = sorted(mask_files - set(pairs.values()))
    if orphans:
        raise ValueError(
            f"{root}: {len(orphans)} masks have no slice: {_some(orphans, root)}; remove them"
        )


def _some(paths: list[Path], root: Path) -> str:
    shown = ", ".join(str(path.relative_to(root)) for path in paths[:3])
    return shown + (", ..." if len(paths) > 3 else "")


def _name(path: Path, root: Path) -> str:
    return path.relative_to(root).with_suffix("").as_posix()

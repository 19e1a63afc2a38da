"""Recognising what kind of data a folder holds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from voxelgrad.data.datasets import Dataset, natural_key
from voxelgrad.data.intensity import Standardise
from voxelgrad.data.nifti_pairs import NiftiPairs
from voxelgrad.data.readers import PathLike
from voxelgrad.data.slice_folder import SliceFolder, image_and_mask_folders

_LABEL = re.compile(r"(seg|label|mask|multiclass|truth)", re.IGNORECASE)
_NO_LABEL = re.compile(r"brain_?mask|brain_?extraction", re.IGNORECASE)
_NIFTI = re.compile(r"\.nii(\.gz)?$", re.IGNORECASE)

# The order of the channels where the names tell the modality; what is not listed comes after, by
# name.
_MODALITIES = (r"t1(?!c|ce|gd|.?post)", r"t1.?(c|ce|gd|post)", r"t2(?!f|.?flair)", r"flair|t2f")


@dataclass(frozen=True)
class FolderKind:
    """What a folder was recognised as.

    Attributes:
        kind: ``"slices"`` for PNG files with masks, ``"nifti"`` for a folder per case.
        images: Patterns of the modalities, for ``"nifti"``.
        label: Pattern of the label file, for ``"nifti"``; None where there is none.
        has_labels: Whether labels or masks were found.
    """

    kind: Literal["slices", "nifti"]
    images: tuple[str, ...]
    label: str | None
    has_labels: bool


def recognise(root: PathLike) -> FolderKind:
    """Look at the files of a folder and its case folders, without reading them.

    Args:
        root: Either ``<case>/<case>_<slice>.png`` with ``_mask.png`` files, or ``<case>/*.nii.gz``
            where each case has the same files, apart from the case's name within their names.

    Raises:
        ValueError: If the folder is missing, or holds neither kind.
    """
    folder = Path(root)
    if not folder.is_dir():
        raise ValueError(f"{root}: there is no such folder; check the name")
    pngs = [*folder.glob("*.png"), *folder.glob("*/*.png")]
    if pngs:
        folders = image_and_mask_folders(folder)
        beside = any(path.stem.endswith("_mask") for path in pngs)
        return FolderKind("slices", (), None, bool(folders and folders[1]) if folders else beside)
    cases = sorted((p for p in folder.iterdir() if p.is_dir()), key=lambda p: natural_key(p.name))
    for case in cases:
        names = sorted(p.name for p in case.iterdir() if _NIFTI.search(p.name))
        if names:
            return _nifti_kind(case.name, names)
    raise ValueError(
        f"{root}: neither PNG slices nor NIfTI cases found; expected <case>/<case>_<slice>.png "
        "with <case>_<slice>_mask.png, or <case>/<modality>.nii.gz with a file whose name has "
        "'seg', 'label' or 'mask'"
    )


def open_folder(
    root: PathLike,
    labels: bool = True,
    mode: Literal["volumes", "slices"] = "slices",
    standardise: Standardise | None = Standardise(),  # noqa: B008  (frozen)
    label_map: Mapping[int, int] | None = None,
) -> Dataset:
    """Open a folder as the dataset it was recognised as.

    Args:
        root: The folder, as for :func:`recognise`.
        labels: True asks for a mask with every image; False ignores masks.
        mode: For NIfTI, whether samples are volumes or slices.
        standardise: How to scale intensities; None keeps the values of the files.
        label_map: Renames classes, old to new.

    Raises:
        ValueError: If the folder is not recognised, or lacks masks where ``labels`` asks for them.
    """
    kind = recognise(root)
    if kind.kind == "slices":
        return SliceFolder(root, standardise=standardise, masks=labels, label_map=label_map)
    if labels and kind.label is None:
        raise ValueError(
            f"{root}: NIfTI cases without a label file; one whose name has 'seg', 'label' or "
            "'mask' is needed"
        )
    return NiftiPairs(
        root,
        kind.images,
        kind.label if labels else None,
        mode=mode,
        standardise=standardise,
        label_map=label_map,
    )


def _nifti_kind(case: str, names: list[str]) -> FolderKind:
    visits, names = _without_visits(names)
    patterns = [("{visit}" if visits else "") + name.replace(case, "*") for name in names]
    labels = [p for p in patterns if _LABEL.search(p) and not _NO_LABEL.search(p)]
    images = [p for p in patterns if p not in labels and not _NO_LABEL.search(p)]
    if len(labels) > 1 or not images:
        raise ValueError(
            f"case {case}: which of {names} are images and which is the label cannot be told from "
            "their names; open the folder with NiftiPairs and name them by patterns"
        )
    return FolderKind(
        "nifti", tuple(sorted(images, key=_modality)), labels[0] if labels else None, bool(labels)
    )


def _without_visits(names: list[str]) -> tuple[bool, list[str]]:
    """Drop what tells examinations apart: ``Pre_T1, Post_T1, ...`` become ``_T1, ...``."""
    parts = [name.partition("_") for name in names]
    rests: dict[str, set[str]] = {}
    for visit, _, rest in parts:
        rests.setdefault(rest, set()).add(visit)
    groups = list(rests.values())
    if len(groups) > 1 and len(groups[0]) > 1 and all(group == groups[0] for group in groups):
        return True, sorted(f"_{rest}" for rest in rests)
    return False, names


def _modality(pattern: str) -> tuple[int, str]:
    for rank, expression in enumerate(_MODALITIES):
        if re.search(expression, pattern, re.IGNORECASE):
            return rank, pattern
    return len(_MODALITIES), pattern

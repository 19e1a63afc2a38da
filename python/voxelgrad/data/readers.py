"""Reading images and masks from PNG, NIfTI and numpy files, with one clear error for a bad file."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelgrad.data.claims import open_nifti, open_png, read_numpy
from voxelgrad.files import one_line

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class Volume:
    """What a file holds.

    Attributes:
        data: ``(*spatial, C)`` float32 for an image, ``(*spatial,)`` int64 for a mask. The axes of
            a NIfTI file stay in the order of the file (usually left-right, back-front, feet-head).
        affine: ``(4, 4)`` float64, voxel indices to mm in the scanner; None where the file has
            none.
        spacing: Edge lengths of a voxel in mm, one per spatial axis; empty where the file has none.
        header: The NIfTI header, to write a mask that lies on the image; None for other formats.
    """

    data: NDArray[Any]
    affine: NDArray[np.float64] | None = None
    spacing: tuple[float, ...] = ()
    header: Any = None


def require(module: str, package: str) -> ModuleType:
    """Import an optional dependency of the ``medical`` extra.

    Raises:
        ImportError: If it is not installed; the message says how to install it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(
            f"reading or writing this file needs {package}, which is not installed; run: pip "
            "install voxelgrad[medical]"
        ) from error


def kind_of(path: PathLike) -> str:
    """Return ``"png"``, ``"nifti"`` or ``"numpy"`` by the ending of ``path``.

    Raises:
        ValueError: If the ending is none of ``.png .nii .nii.gz .npy .npz``.
    """
    name = os.fspath(path).lower()
    for kind, endings in (
        ("png", (".png",)),
        ("nifti", (".nii", ".nii.gz")),
        ("numpy", (".npy", ".npz")),
    ):
        if name.endswith(endings):
            return kind
    raise ValueError(
        f"{path}: this file type is not read; it must end in .png, .nii, .nii.gz, .npy or .npz"
    )


def read_image(path: PathLike) -> Volume:
    """Read an image or a volume.

    Args:
        path: A ``.png``, ``.nii``, ``.nii.gz``, ``.npy`` or ``.npz`` (one array) file. Numpy arrays
            are ``(*spatial, C)`` as they are.

    Returns:
        The data ``(*spatial, C)`` float32, finite, with affine and spacing where the file has them.

    Raises:
        ValueError: If the file is missing, damaged, empty, of the wrong shape or holds NaN or
            infinity.
        ImportError: If the extra ``medical`` is needed and missing.
    """
    kind = kind_of(path)
    _check_readable(path)
    if kind == "png":
        return Volume(check_image(_with_channels(_png_array(path, palette=False)), path))
    if kind == "nifti":
        volume = _nifti_volume(path)
        data = volume.data[..., None] if volume.data.ndim <= 3 else volume.data
        return Volume(check_image(data, path), volume.affine, volume.spacing, volume.header)
    return Volume(check_image(_numpy_array(path), path))


def read_label(path: PathLike) -> Volume:
    """Read a mask of class numbers.

    A PNG mask that holds only 0 and 255 is read as 0 and 1; a palette PNG gives its indices.

    Args:
        path: A file as for :func:`read_image`, of one channel.

    Returns:
        The class numbers ``(*spatial,)`` int64, with affine and spacing where the file has them.

    Raises:
        ValueError: If the file is missing, damaged or empty, has colours, or values that are no
            class numbers (fractions, negative numbers, NaN).
        ImportError: If the extra ``medical`` is needed and missing.
    """
    kind = kind_of(path)
    _check_readable(path)
    if kind == "png":
        array = _grey_mask(_png_array(path, palette=True), path)
        return Volume(check_label(array, path))
    if kind == "nifti":
        volume = _nifti_volume(path)
        data = volume.data[..., 0] if volume.data.shape[3:] == (1,) else volume.data
        return Volume(check_label(data, path), volume.affine, volume.spacing, volume.header)
    return Volume(check_label(_numpy_array(path), path))


def nifti_shape(path: PathLike) -> tuple[int, ...]:
    """Return the shape of a NIfTI file from its header alone.

    Raises:
        ValueError: If the file is missing or its header damaged.
    """
    _check_readable(path)
    nibabel = require("nibabel", "nibabel")
    with _parsing_nifti(path, nibabel) as image:
        return tuple(int(length) for length in image.shape)


def check_image(data: NDArray[Any], origin: PathLike) -> NDArray[np.float32]:
    """Return ``data`` as float32 after making sure that a network can read it.

    Args:
        data: ``(*spatial, C)`` with one to three spatial axes, any real dtype.
        origin: File or sample that the error shall name.

    Raises:
        ValueError: If it is empty, not numeric, of the wrong rank or holds NaN or infinity.
    """
    if data.dtype.kind not in "biuf":
        raise ValueError(
            f"{origin}: values of type {data.dtype} are no image; real numbers are needed"
        )
    if not 2 <= data.ndim <= 4:
        raise ValueError(
            f"{origin}: image has shape {data.shape}; it must be (*spatial, channels) with 1 to 3 "
            "spatial axes; add a last axis for a single channel"
        )
    if data.size == 0:
        raise ValueError(f"{origin}: image has shape {data.shape}; no axis may be empty")
    with np.errstate(over="ignore", invalid="ignore"):
        image = np.ascontiguousarray(data, dtype=np.float32)
    bad = image.size - int(np.count_nonzero(np.isfinite(image)))
    if bad:
        raise ValueError(
            f"{origin}: image holds {bad} values that are NaN or infinite; all must be finite "
            "float32 numbers; replace them (np.nan_to_num) or leave the file out"
        )
    return image


def check_label(data: NDArray[Any], origin: PathLike) -> NDArray[np.int64]:
    """Return ``data`` as int64 class numbers.

    Args:
        data: ``(*spatial,)`` whole numbers from 0 on, any real dtype.
        origin: File or sample that the error shall name.

    Raises:
        ValueError: If it is empty, or holds fractions, negative numbers, NaN or infinity.
    """
    if data.dtype.kind not in "biuf":
        raise ValueError(
            f"{origin}: values of type {data.dtype} are no mask; whole numbers are needed"
        )
    if data.size == 0:
        raise ValueError(f"{origin}: mask has shape {data.shape}; no axis may be empty")
    if not 1 <= data.ndim <= 3:
        raise ValueError(f"{origin}: mask has shape {data.shape}; it must have 1 to 3 spatial axes")
    if data.dtype.kind == "f" and not np.isfinite(data).all():
        raise ValueError(
            f"{origin}: mask holds NaN or infinity; it must hold class numbers 0, 1, 2, ..."
        )
    if data.max() >= 2**31 or data.min() <= -(2**31):
        raise ValueError(
            f"{origin}: mask holds {data.flat[np.abs(data).argmax()]:g}; class numbers are below "
            "2^31"
        )
    label = np.ascontiguousarray(np.rint(data) if data.dtype.kind == "f" else data, dtype=np.int64)
    # Scaled NIfTI headers turn 1 into 0.99999997; anything further off is no class number.
    if data.dtype.kind == "f" and np.abs(data - label).max() > 1e-3:
        raise ValueError(
            f"{origin}: mask holds fractions such as "
            f"{data[np.abs(data - label) > 1e-3].flat[0]:g}; it must hold class numbers 0, 1, 2, "
            "...; was an image given in place of the mask?"
        )
    if label.min() < 0:
        raise ValueError(
            f"{origin}: mask holds {label.min()}; class numbers start at 0 (a label to ignore "
            "must be mapped)"
        )
    return label


def _check_readable(path: PathLike) -> None:
    if not Path(path).is_file():
        raise ValueError(f"{path}: there is no such file; check the name")
    if not os.access(path, os.R_OK):
        raise ValueError(f"{path}: you may not read this file; ask its owner for permission")


@contextmanager
def _parsing(path: PathLike, kind: str) -> Iterator[None]:
    """Turn whatever a parser raises on a damaged file into one ``ValueError``."""
    try:
        with np.errstate(all="ignore"):
            yield
    # Parsers of others fail in unforeseen ways: on random damage nine kinds of exception were seen.
    except Exception as error:
        text = one_line(error, most=160)
        raise ValueError(
            f"{path}: not a readable {kind} ({text}); it is truncated or damaged; copy it again"
        ) from error


@contextmanager
def _silent(logger: logging.Logger) -> Iterator[None]:
    """Keep a parser from remarking on a damaged file before the error does."""

    # A filter of its own for each reading: several threads read at the same time.
    def drop(record: logging.LogRecord) -> bool:
        return False

    logger.addFilter(drop)
    try:
        yield
    finally:
        logger.removeFilter(drop)


@contextmanager
def _parsing_nifti(path: PathLike, nibabel: ModuleType) -> Iterator[Any]:
    silent = _silent(nibabel.imageglobals.logger)
    with _parsing(path, "NIfTI file"), silent, open_nifti(path, nibabel) as image:
        yield image


def _png_array(path: PathLike, palette: bool) -> NDArray[Any]:
    image_module = require("PIL.Image", "pillow")
    open_image = image_module.open
    with _parsing(path, "PNG"), open_png(path) as file, open_image(file, formats=("PNG",)) as image:
        image.load()
        keep = palette or image.mode != "P"
        array = np.array(image if keep else image.convert("RGB"))
    # Transparency tells nothing about tissue.
    return (
        array[..., : array.shape[2] - 1] if array.ndim == 3 and array.shape[2] in (2, 4) else array
    )


def _with_channels(array: NDArray[Any]) -> NDArray[Any]:
    return array[..., None] if array.ndim == 2 else array


def _grey_mask(array: NDArray[Any], path: PathLike) -> NDArray[Any]:
    if array.ndim == 3:
        if (array != array[..., :1]).any():
            raise ValueError(
                f"{path}: mask has colours; it must be grey, black and white or a palette PNG of "
                "class numbers"
            )
        array = array[..., 0]
    binary = array.size > 0 and array.max() == 255 and bool(np.isin(array, (0, 255)).all())
    return array // 255 if binary else array


def _nifti_volume(path: PathLike) -> Volume:
    nibabel = require("nibabel", "nibabel")
    with _parsing_nifti(path, nibabel) as image:
        data = np.asanyarray(image.dataobj)
        affine = np.array(image.affine, dtype=np.float64)
        zooms = image.header.get_zooms()
    if not 2 <= data.ndim <= 4:
        raise ValueError(
            f"{path}: NIfTI data has shape {data.shape}; it must be (X, Y), (X, Y, Z) or (X, Y, "
            "Z, channels)"
        )
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        raise ValueError(
            f"{path}: the affine of the NIfTI header cannot be inverted; the header is damaged"
        )
    spacing = tuple(float(zoom) for zoom in zooms[: min(data.ndim, 3)])
    return Volume(data, affine, spacing, image.header)


def _numpy_array(path: PathLike) -> NDArray[Any]:
    with _parsing(path, "numpy file"):
        arrays = read_numpy(path)
    if len(arrays) != 1:
        names = [name.removesuffix(".npy") for name in arrays]
        raise ValueError(f"{path}: holds {len(names)} arrays {names[:20]}; it must hold one")
    return next(iter(arrays.values()))

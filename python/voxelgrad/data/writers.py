"""Writing masks: to PNG, or to NIfTI so that they lie on the image they were made from."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelgrad.data.readers import PathLike, check_label, require
from voxelgrad.files import atomic_path

# Black, then colours that colour-blind readers tell apart (Okabe and Ito, 2008).
PALETTE = (
    (0, 0, 0),
    (213, 94, 0),
    (86, 180, 233),
    (240, 228, 66),
    (0, 158, 115),
    (230, 159, 0),
    (0, 114, 178),
    (204, 121, 167),
)


def write_mask_png(path: PathLike, mask: NDArray[Any]) -> None:
    """Write a 2D mask; :func:`voxelgrad.data.read_label` reads the same class numbers back.

    Classes 0 and 1 alone become black and white; more classes a palette PNG whose indices are the
    classes.

    Args:
        path: Where to write; replaced atomically.
        mask: ``(H, W)`` class numbers 0..255.

    Raises:
        ValueError: If the mask is not 2D or holds other numbers, or ``path`` cannot be written.
        OSError: If the disk fails while writing.
    """
    if mask.ndim != 2:
        raise ValueError(
            f"write_mask_png: mask has shape {mask.shape}; a PNG holds (H, W); write NIfTI instead"
        )
    label = check_label(mask, "write_mask_png")
    if label.max() > 255:
        raise ValueError(
            f"write_mask_png: mask holds class {label.max()}; a PNG holds 0 to 255; write NIfTI"
        )
    image_module = require("PIL.Image", "pillow")
    binary = label.max() <= 1
    image = image_module.fromarray((label * (255 if binary else 1)).astype(np.uint8))
    if not binary:
        colours = [PALETTE[k] if k < len(PALETTE) else (k, k, k) for k in range(256)]
        image.putpalette([channel for colour in colours for channel in colour])
    with atomic_path(path) as temporary:
        image.save(temporary, format="PNG")


def write_mask_nifti(
    path: PathLike,
    mask: NDArray[Any],
    affine: NDArray[np.float64] | None,
    header: Any = None,
) -> None:
    """Write a mask with the affine, and where given the header, of the image it belongs to.

    Args:
        path: Ends in ``.nii`` or ``.nii.gz``; replaced atomically.
        mask: ``(X, Y, Z)`` or ``(X, Y)`` class numbers.
        affine: ``(4, 4)`` voxel indices to mm; None writes the identity.
        header: NIfTI header of the image; spacing units and form codes are taken from it, not its
            dtype or intensity scaling.

    Raises:
        ValueError: If the mask holds no class numbers, or the affine is not ``(4, 4)``, or ``path``
            cannot be written.
        OSError: If the disk fails while writing.
    """
    label = check_label(mask, "write_mask_nifti")
    matrix = np.eye(4) if affine is None else np.asarray(affine, dtype=np.float64)
    if matrix.shape != (4, 4):
        raise ValueError(f"write_mask_nifti: affine has shape {matrix.shape}; it must be (4, 4)")
    nibabel = require("nibabel", "nibabel")
    dtype = np.uint8 if label.max() <= 255 else np.int32
    image = nibabel.Nifti1Image(label.astype(dtype), matrix)
    if header is not None:
        image.header.set_xyzt_units(*header.get_xyzt_units())
        image.header.set_qform(matrix, code=int(header["qform_code"]))
        image.header.set_sform(matrix, code=int(header["sform_code"]))
    with atomic_path(path) as temporary:
        nibabel.save(image, temporary)

"""Folders of tiny patients, laid out like the real data sets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

PATIENTS = ("TCGA_AA_0001_19990101", "TCGA_AA_0002_19990102", "TCGA_AA_0003_19990103")
AFFINE = np.array([[-1.5, 0, 0, 12.0], [0, 1.5, 0, -9.0], [0, 0, 4.0, 3.0], [0, 0, 0, 1.0]])


def slices_of(patient: int, count: int = 3) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Bright squares on noise: images (count, 16, 16, 3) and masks (count, 16, 16), 8 bit."""
    rng = np.random.default_rng(patient)
    images = rng.integers(40, 90, (count, 16, 16, 3), dtype=np.uint8)
    masks = np.zeros((count, 16, 16), np.uint8)
    for image, mask in zip(images, masks, strict=True):
        row, column = rng.integers(2, 9, 2)
        mask[row : row + 5, column : column + 5] = 1
        image[mask == 1, 1] = 220
    return images, masks


def write_slice_folder(root: Path) -> Path:
    """Write ``<case>/<case>_<slice>.png`` with masks, as in LGG."""
    for number, patient in enumerate(PATIENTS):
        folder = root / patient
        folder.mkdir(parents=True)
        for k, (image, mask) in enumerate(zip(*slices_of(number), strict=True), 1):
            Image.fromarray(image).save(folder / f"{patient}_{k}.png")
            Image.fromarray(mask * 255).save(folder / f"{patient}_{k}_mask.png")
    return root


def write_nifti_folder(root: Path) -> Path:
    """Write ``<case>/T1.nii.gz``, ``FLAIR.nii.gz`` and ``seg.nii.gz``."""
    import nibabel

    for number, patient in enumerate(PATIENTS):
        folder = root / patient
        folder.mkdir(parents=True)
        images, masks = slices_of(number, 4)
        volumes = {"T1": images[..., 0], "FLAIR": images[..., 1], "seg": masks}
        for name, data in volumes.items():
            volume = np.moveaxis(data, 0, 2).astype(np.int16)
            nibabel.save(nibabel.Nifti1Image(volume, AFFINE), folder / f"{name}.nii.gz")
    return root

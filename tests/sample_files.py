"""Small files for the tests of readers and datasets."""

from __future__ import annotations

import numpy as np
import pytest

AFFINE = np.array([[-2.0, 0, 0, 90], [0, 1.5, 0, -70], [0, 0, 4, -30], [0, 0, 0, 1]])


def write_png(path, array):
    image_module = pytest.importorskip("PIL.Image")
    path.parent.mkdir(parents=True, exist_ok=True)
    image_module.fromarray(array).save(path)


def write_nifti(path, array, affine=AFFINE):
    nibabel = pytest.importorskip("nibabel")
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array, affine), path)

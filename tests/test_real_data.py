"""The readers on real scans; skipped where the data is not there."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from voxelgrad.data import (
    NiftiPairs,
    SliceFolder,
    open_folder,
    read_image,
    read_label,
    recognise,
    split_by_patient,
    write_mask_nifti,
)

ROOT = Path(
    os.environ.get("VOXELGRAD_DATA", Path(__file__).resolve().parents[2] / "shared" / "data")
)


def folder(name):
    path = ROOT / name
    if not path.is_dir():
        pytest.skip(f"real data not found: {path} (set VOXELGRAD_DATA to its folder)")
    pytest.importorskip("nibabel")
    pytest.importorskip("PIL")
    return path


def test_lgg_has_790_slices_of_23_patients():
    data = open_folder(folder("lgg"))
    assert isinstance(data, SliceFolder)
    assert len(data) == 790
    assert len(set(data.cases)) == 23
    sample = data[20]
    assert sample.image.shape == (256, 256, 3)
    assert set(np.unique(sample.label)) <= {0, 1}


def test_lgg_is_split_by_patient():
    train, held_out = split_by_patient(SliceFolder(folder("lgg")), held_out=5, seed=0)
    assert len(set(train.cases)) == 18
    assert len(set(held_out.cases)) == 5
    assert set(train.cases).isdisjoint(held_out.cases)
    assert len(train) + len(held_out) == 790


def test_brats_masks_go_back_onto_their_scan(tmp_path):
    root = folder("brats2015")
    kind = recognise(root)
    assert kind.label == "OTMultiClass.nii.gz"
    data = NiftiPairs(root, kind.images, kind.label)
    assert len(data) == 4
    sample = data[0]
    assert sample.image.shape == (240, 240, 155, 2)
    assert set(np.unique(sample.label)) <= {0, 1, 2, 3, 4}
    scan = read_image(root / sample.case / "Flair_subtrMeanDivStd.nii.gz")
    write_mask_nifti(tmp_path / "mask.nii.gz", sample.label, sample.affine, scan.header)
    written = read_label(tmp_path / "mask.nii.gz")
    assert np.array_equal(written.data, sample.label)
    np.testing.assert_array_equal(written.affine, scan.affine)


def test_glioblastomas_have_two_dates_each():
    data = open_folder(folder("gbm_t1post"), mode="volumes")
    assert len(data) == 14
    assert len(set(data.cases)) == 7
    assert data[0].image.shape == (256, 256, 24, 1)
    assert data[0].label.any()

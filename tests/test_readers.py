"""Reading and writing PNG, NIfTI and numpy files, good and bad."""

from __future__ import annotations

import contextlib
import sys

import numpy as np
import pytest

from sample_files import AFFINE, write_nifti, write_png
from voxelgrad.data import read_image, read_label, write_mask_nifti, write_mask_png


class TestReaders:
    def test_png_keeps_its_values(self, tmp_path):
        image = np.arange(60, dtype=np.uint8).reshape(5, 4, 3)
        write_png(tmp_path / "a.png", image)
        volume = read_image(tmp_path / "a.png")
        assert volume.data.dtype == np.float32
        assert np.array_equal(volume.data, image)
        assert volume.affine is None

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16, bool])
    def test_grey_png_has_one_channel(self, tmp_path, dtype):
        image = (np.arange(20).reshape(5, 4) % 2 * (300 if dtype is np.uint16 else 1)).astype(dtype)
        write_png(tmp_path / "a.png", image)
        assert np.array_equal(read_image(tmp_path / "a.png").data[..., 0], image)

    def test_transparency_is_dropped(self, tmp_path):
        write_png(tmp_path / "a.png", np.full((5, 4, 4), 9, np.uint8))
        assert read_image(tmp_path / "a.png").data.shape == (5, 4, 3)

    def test_nifti_keeps_affine_and_spacing(self, tmp_path):
        data = np.random.default_rng(0).normal(size=(5, 4, 3)).astype(np.float32)
        write_nifti(tmp_path / "a.nii.gz", data)
        volume = read_image(tmp_path / "a.nii.gz")
        assert np.array_equal(volume.data[..., 0], data)
        np.testing.assert_allclose(volume.affine, AFFINE)
        assert volume.spacing == (2.0, 1.5, 4.0)

    @pytest.mark.parametrize("save", ["npy", "npz"])
    def test_numpy_files(self, tmp_path, save):
        data = np.random.default_rng(0).normal(size=(5, 4, 2))
        path = tmp_path / f"a.{save}"
        np.save(path, data) if save == "npy" else np.savez(path, image=data)
        assert np.array_equal(read_image(path).data, data.astype(np.float32))

    def test_black_and_white_masks_are_0_and_1(self, tmp_path):
        mask = np.array([[0, 255], [255, 0]], np.uint8)
        write_png(tmp_path / "grey.png", mask)
        write_png(tmp_path / "bits.png", mask > 0)
        write_png(tmp_path / "colour.png", np.stack([mask] * 3, axis=-1))
        for name in ("grey", "bits", "colour"):
            label = read_label(tmp_path / f"{name}.png").data
            assert label.dtype == np.int64
            assert np.array_equal(label, mask // 255)

    def test_a_missing_package_is_named_with_its_remedy(self, tmp_path, monkeypatch):
        (tmp_path / "a.png").write_bytes(b"")
        (tmp_path / "a.nii").write_bytes(b"")
        monkeypatch.setitem(sys.modules, "PIL.Image", None)
        monkeypatch.setitem(sys.modules, "nibabel", None)
        for name, package in (("a.png", "pillow"), ("a.nii", "nibabel")):
            with pytest.raises(ImportError, match=rf"{package}.*pip install voxelgrad\[medical\]"):
                read_image(tmp_path / name)


def truncated_png(path):
    write_png(path, np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8))
    path.write_bytes(path.read_bytes()[:-1500])


def truncated_nifti(path):
    write_nifti(path, np.random.default_rng(0).normal(size=(20, 20, 20)))
    path.write_bytes(path.read_bytes()[:-20000])


def header_only(path):
    write_nifti(path, np.zeros((20, 20, 20)))
    path.write_bytes(path.read_bytes()[:400])


def flat_affine(path):
    write_nifti(path, np.zeros((3, 3, 3)))
    content = bytearray(path.read_bytes())
    content[280:296] = bytes(16)  # the first row of the affine
    path.write_bytes(content)


def with_nan(path):
    data = np.zeros((4, 4, 4), np.float32)
    data[1, 2, 3], data[0, 0, 0] = np.nan, np.inf
    write_nifti(path, data)


BAD_IMAGES = {
    "truncated.png": (truncated_png, "not a readable PNG"),
    "text.png": (lambda p: p.write_text("hello"), "not a readable PNG"),
    "empty.png": (lambda p: p.write_bytes(b""), "not a readable PNG"),
    "truncated.nii.gz": (truncated_nifti, "not a readable NIfTI"),
    "truncated.nii": (truncated_nifti, "not a readable NIfTI"),
    "header.nii": (header_only, "not a readable NIfTI"),
    "text.nii.gz": (lambda p: p.write_text("hello"), "not a readable NIfTI"),
    "empty.nii": (lambda p: p.write_bytes(b""), "not a readable NIfTI"),
    "affine.nii": (flat_affine, "affine"),
    "nan.nii.gz": (with_nan, "2 values that are NaN or infinite"),
    "time.nii": (lambda p: write_nifti(p, np.zeros((2, 2, 2, 2, 2))), "must be"),
    "text.npy": (lambda p: p.write_text("hello"), "not a readable numpy"),
    "objects.npy": (lambda p: np.save(p, np.array([{}], object)), "not a readable numpy"),
    "text.npz": (lambda p: p.write_text("PK\x03\x04hello"), "not a readable numpy"),
    "two.npz": (lambda p: np.savez(p, a=np.zeros(1), b=np.zeros(1)), "must hold one"),
    "line.npy": (lambda p: np.save(p, np.zeros(5)), "channels"),
    "words.npy": (lambda p: np.save(p, np.array([["a"]])), "real numbers"),
    "none.npy": (lambda p: np.save(p, np.zeros((0, 4, 1))), "no axis may be empty"),
    "nan.npy": (lambda p: np.save(p, np.full((2, 2, 1), np.nan)), "4 values that are NaN"),
    "huge.npy": (lambda p: np.save(p, np.full((2, 2, 1), 1e300)), "4 values that are NaN"),
    "image.tiff": (lambda p: p.write_bytes(b""), "file type"),
    "missing.png": (lambda p: None, "no such file"),
}


@pytest.mark.parametrize("name", BAD_IMAGES)
def test_a_bad_image_gives_one_error_that_names_it(tmp_path, name):
    make, message = BAD_IMAGES[name]
    make(tmp_path / name)
    with pytest.raises(ValueError, match=message) as caught:
        read_image(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


BAD_LABELS = {
    "fractions.npy": (np.array([[0.0, 0.5]]), "fractions such as 0.5"),
    "negative.npy": (np.array([[0, -1]]), "holds -1"),
    "nan.npy": (np.array([[0, np.nan]]), "NaN"),
    "four.npy": (np.zeros((2, 2, 2, 2)), "1 to 3 spatial axes"),
    "none.npy": (np.zeros((0, 3)), "no axis may be empty"),
    "words.npy": (np.array([["a"]]), "whole numbers"),
    "huge.npy": (np.array([[0, 1e30]]), "holds 1e\\+30"),
}


@pytest.mark.parametrize("name", BAD_LABELS)
def test_a_bad_mask_gives_one_error_that_names_it(tmp_path, name):
    array, message = BAD_LABELS[name]
    np.save(tmp_path / name, array)
    with pytest.raises(ValueError, match=message) as caught:
        read_label(tmp_path / name)
    assert name in str(caught.value)


def damaged(content, rng):
    """Change some bytes of the header, or cut the end off."""
    damage = bytearray(content)
    for _ in range(rng.integers(1, 6)):
        damage[rng.integers(0, min(len(damage), 360))] = rng.integers(0, 256)
    return damage if rng.random() < 0.8 else damage[: rng.integers(0, len(damage))]


@pytest.mark.parametrize("name", ["a.png", "a.nii", "a.nii.gz", "a.npy", "a.npz"])
def test_random_damage_is_either_read_or_a_value_error(tmp_path, name, caplog):
    rng = np.random.default_rng(0)
    path = tmp_path / name
    data = rng.integers(0, 3, size=(6, 6, 3)).astype(np.uint8 if name == "a.png" else np.float32)
    write = {"a.png": write_png, "a.npy": np.save, "a.npz": np.savez}.get(name, write_nifti)
    write(path, data)
    content = path.read_bytes()
    for _ in range(150):
        path.write_bytes(damaged(content, rng))
        for read in (read_image, read_label):
            with contextlib.suppress(ValueError):
                read(path)
    # One error is all that a user shall see.
    assert not caplog.records


def test_a_palette_is_colour_for_images_and_class_for_masks(tmp_path):
    mask = np.array([[0, 1], [2, 3]])
    write_mask_png(tmp_path / "m.png", mask)
    assert np.array_equal(read_label(tmp_path / "m.png").data, mask)
    assert read_image(tmp_path / "m.png").data.shape == (2, 2, 3)


def test_a_coloured_mask_is_refused(tmp_path):
    write_png(tmp_path / "m.png", np.arange(12, dtype=np.uint8).reshape(2, 2, 3))
    with pytest.raises(ValueError, match="mask has colours"):
        read_label(tmp_path / "m.png")


class TestWriters:
    @pytest.mark.parametrize("classes", [1, 2, 4, 200])
    def test_a_png_mask_reads_back(self, tmp_path, classes):
        mask = np.random.default_rng(0).integers(0, classes, size=(9, 7))
        mask[0, 0] = classes - 1
        write_mask_png(tmp_path / "m.png", mask)
        assert np.array_equal(read_label(tmp_path / "m.png").data, mask)

    @pytest.mark.parametrize("name", ["m.nii", "m.nii.gz"])
    def test_a_nifti_mask_lies_on_its_image(self, tmp_path, name):
        image_path = tmp_path / "image.nii.gz"
        write_nifti(image_path, np.zeros((5, 4, 3), np.float32))
        image = read_image(image_path)
        mask = np.random.default_rng(0).integers(0, 4, size=(5, 4, 3))
        write_mask_nifti(tmp_path / name, mask, image.affine, image.header)
        written = read_label(tmp_path / name)
        assert np.array_equal(written.data, mask)
        np.testing.assert_array_equal(written.affine, image.affine)
        assert written.spacing == image.spacing
        for code in ("qform_code", "sform_code"):
            assert written.header[code] == image.header[code]
        assert written.header.get_data_dtype() == np.uint8

    def test_what_cannot_be_written_leaves_nothing_behind(self, tmp_path):
        mask = np.zeros((4, 4), np.int64)
        with pytest.raises(ValueError, match="folder does not exist"):
            write_mask_png(tmp_path / "no" / "m.png", mask)
        with pytest.raises(ValueError, match="write NIfTI"):
            write_mask_png(tmp_path / "m.png", np.zeros((4, 4, 4), np.int64))
        with pytest.raises(ValueError, match="a PNG holds 0 to 255"):
            write_mask_png(tmp_path / "m.png", mask + 256)
        with pytest.raises(ValueError, match="affine"):
            write_mask_nifti(tmp_path / "m.nii", mask, np.eye(3))
        assert list(tmp_path.iterdir()) == []

"""Overlays: what is drawn where."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("PIL")

from PIL import Image

from voxelgrad.report import Row, grey, overlay, save_grid
from voxelgrad.report.overlays import SIDE, colour_of


def square(side: int = 64) -> tuple[np.ndarray, np.ndarray]:
    image = np.linspace(0, 1, side * side).reshape(side, side)
    mask = np.zeros((side, side), np.int64)
    mask[16:48, 16:48] = 1
    return image, mask


def test_the_outline_has_the_colour_of_its_class_and_lies_inside_the_mask() -> None:
    image, mask = square()
    factor = SIDE // 64
    pixels = np.asarray(overlay(image, 2 * mask))
    coloured = (pixels == colour_of(2)).all(axis=-1)
    rows, columns = np.nonzero(coloured)
    assert (rows.min(), rows.max()) == (16 * factor, 48 * factor - 1)
    assert (columns.min(), columns.max()) == (16 * factor, 48 * factor - 1)
    assert not coloured[20 * factor : 44 * factor, 20 * factor : 44 * factor].any()
    outside = pixels[: 16 * factor]
    assert (outside[..., 0] == outside[..., 1]).all()  # the rest of the picture stays grey


def test_an_empty_mask_changes_nothing() -> None:
    image, mask = square()
    assert overlay(image, 0 * mask).tobytes() == overlay(image).tobytes()


def test_small_images_are_enlarged_and_large_ones_kept() -> None:
    assert overlay(np.eye(40)).size == (280, 280)
    assert overlay(np.eye(300)).size == (300, 300)


def test_grey_uses_the_whole_range_whatever_the_scale() -> None:
    image, _ = square()
    for scaled in (image, 4000 * image - 1000, -image):
        shades = grey(scaled)
        assert shades.min() == 0 and shades.max() == 255
    assert grey(np.full((4, 4), 7.0)).max() == 0


def test_a_grid_grows_with_rows_channels_and_classes(tmp_path: Path) -> None:
    image, mask = square()
    channels = np.stack([image, 1 - image], axis=-1)
    one = Row("case 1", channels, mask, mask, "Dice 1.00")
    save_grid(tmp_path / "a.png", [one], note="synthetic phantom")
    save_grid(tmp_path / "b.png", [one, one], ("background", "core", "rim"), ("T1", "FLAIR"))
    sizes = []
    for name in ("a.png", "b.png"):
        with Image.open(tmp_path / name) as picture:
            sizes.append(picture.size)
    (width, height), (width_b, height_b) = sizes
    assert width >= 4 * SIDE and width_b == width and height_b > 1.8 * height - 60


def test_mistakes_are_named(tmp_path: Path) -> None:
    image, mask = square()
    with pytest.raises(ValueError, match=r"mask \(64, 63\) does not fit the image \(64, 64\)"):
        overlay(image, mask[:, :-1])
    with pytest.raises(ValueError, match="not finite"):
        grey(np.array([[np.nan, 1.0]]))
    with pytest.raises(ValueError, match="no row"):
        save_grid(tmp_path / "a.png", [])
    with pytest.raises(ValueError, match="folder does not exist"):
        save_grid(tmp_path / "nowhere" / "a.png", [Row("x", image)])
    assert list(tmp_path.iterdir()) == []

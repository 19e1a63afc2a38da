"""The largest piece of a mask, against a flood fill."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from voxelgrad.cli.segmentation import each_is_one_piece
from voxelgrad.data import ArrayDataset, largest_component


def flood_fill_largest(mask: np.ndarray) -> np.ndarray:
    left = {tuple(int(i) for i in index) for index in np.argwhere(mask > 0)}
    steps = list(product((-1, 0, 1), repeat=mask.ndim))
    pieces = []
    for start in sorted(left):
        if start not in left:
            continue
        piece, front = {start}, [start]
        while front:
            voxel = front.pop()
            near = {tuple(a + b for a, b in zip(voxel, step, strict=True)) for step in steps}
            new = (near & left) - piece
            piece |= new
            front += new
        left -= piece
        pieces.append(piece)
    result = np.zeros_like(mask)
    for voxel in max(pieces, key=len, default=set()):
        result[voxel] = mask[voxel]
    return result


@pytest.mark.parametrize("shape", [(40,), (13, 17), (6, 9, 11), (1, 1, 5)])
@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.9])
def test_it_is_what_a_flood_fill_finds(shape: tuple[int, ...], share: float) -> None:
    rng = np.random.default_rng(len(shape))
    for _ in range(5):
        mask = (rng.random(shape) < share) * rng.integers(1, 4, shape)
        np.testing.assert_array_equal(largest_component(mask), flood_fill_largest(mask))


def test_corners_connect_and_borders_do_not_wrap_around() -> None:
    corners = np.eye(5, dtype=np.int64)
    np.testing.assert_array_equal(largest_component(corners), corners)
    ends = np.zeros((4, 4), np.int64)
    ends[0, 3] = ends[1, 0] = 1
    assert largest_component(ends).sum() == 1


def test_a_long_snake_is_one_piece() -> None:
    snake = np.zeros((41, 41), np.int64)
    snake[::2] = 1
    snake[1::4, -1] = snake[3::4, 0] = 1
    np.testing.assert_array_equal(largest_component(snake), snake)


def test_nothing_stays_nothing() -> None:
    assert largest_component(np.zeros((3, 4), np.int64)).sum() == 0


def test_training_masks_decide_whether_one_piece_is_kept() -> None:
    """A volume of three slices: pieces that touch across slices are one, islands are not."""
    whole = np.zeros((3, 8, 8), np.int64)
    whole[0, 2:5, 2:5], whole[1, 3:6, 3:6] = 1, 2
    islands = whole.copy()
    islands[2, 7, 7] = islands[1, 7, 0] = islands[0, 0, 7] = 1
    for masks, one_piece in ((whole, True), (islands, False)):
        images = np.zeros((3, 8, 8, 1), np.float32)
        assert each_is_one_piece(ArrayDataset(images, masks, cases=["a"] * 3)) is one_piece

"""Overlays of the commands: which slice is shown, which channel lies below, which way is up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelgrad.data import Sample
from voxelgrad.data.readers import require


def check_pictures() -> None:
    """Raise unless pictures can be drawn.

    Raises:
        ImportError: If Pillow is missing; the message says how to install it.
    """
    require("PIL.Image", "pillow")


def make_row(
    sample: Sample, classes: NDArray[np.int64] | None, text: str = "", title: str | None = None
) -> Any:
    """Return a row of a grid for a sample; of a volume the slice with most of the classes is shown.

    Args:
        sample: Slice (H, W, C) or volume (X, Y, Z, C); the truth is drawn if it has one.
        classes: Predicted classes, of the label's shape.
        text: What stands at the right of the title.
        title: What stands above; the sample's name by default.
    """
    # Pillow is an extra: commands that draw nothing work without it.
    from voxelgrad.report import Row

    image, truth = sample.image, sample.label
    title = sample.name if title is None else title
    masks = [mask for mask in (truth, classes) if isinstance(mask, np.ndarray)]
    if image.ndim == 4:
        k = _fullest_slice(masks, image.shape[2])
        image, masks = image[:, :, k], [mask[:, :, k] for mask in masks]
        title = f"{title}, slice {k}"
    if sample.affine is not None:
        # NIfTI stores left-right by back-front: turned, the front of the head is up.
        image, masks = np.rot90(image), [np.rot90(mask) for mask in masks]
    has_truth = isinstance(truth, np.ndarray)
    return Row(
        title,
        image,
        masks[0] if has_truth else None,
        masks[-1] if classes is not None else None,
        text,
        _clearest_channel(image, masks),
    )


def save_pictures(
    path: Path,
    rows: Sequence[Any],
    class_names: Sequence[str],
    channel_names: Sequence[str],
    note: str,
) -> None:
    """Write rows from ``make_row`` as one PNG."""
    from voxelgrad.report import save_grid

    save_grid(path, rows, class_names, channel_names, note)


def _fullest_slice(masks: Sequence[NDArray[np.int64]], depth: int) -> int:
    counts = [np.count_nonzero(mask, axis=(0, 1)) for mask in masks]
    for count in counts:
        if count.any():
            return int(np.argmax(count))
    return depth // 2


def _clearest_channel(image: NDArray[np.float32], masks: Sequence[NDArray[np.int64]]) -> int:
    """Return the channel in which the marked region differs most from the rest."""
    for mask in masks:
        inside = mask > 0
        if inside.any() and not inside.all():
            difference = image[inside].mean(axis=0) - image[~inside].mean(axis=0)
            contrast: NDArray[np.float32] = np.abs(difference) / (image.std(axis=(0, 1)) + 1e-12)
            return int(np.argmax(contrast))
    return int(image.shape[-1]) - 1

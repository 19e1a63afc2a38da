"""Pictures of masks on images: outlines in colours over grey slices, one row a case, as PNG."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont

from voxelgrad.data.writers import PALETTE
from voxelgrad.files import atomic_path

SIDE = 256
"""Smallest height of a panel in pixels; smaller slices are enlarged by a whole factor."""

_GAP, _MARGIN, _LINE = 8, 16, 24
_INK, _SOFT, _PAPER = (235, 235, 235), (150, 150, 150), (18, 18, 20)
_FILL = 0.18


@dataclass(frozen=True)
class Row:
    """One case of a grid.

    Attributes:
        title: What stands above it, such as the patient and the slice.
        image: Grey slice (H, W) of any intensity scale, or several of them stacked (H, W, C).
        truth: True classes (H, W), or None.
        prediction: Predicted classes (H, W), or None.
        text: What stands at the right end of the title line, such as the Dice.
        base: The channel that truth and prediction are drawn on.
    """

    title: str
    image: NDArray[Any]
    truth: NDArray[np.int64] | None = None
    prediction: NDArray[np.int64] | None = None
    text: str = ""
    base: int = -1


def save_grid(
    path: str | os.PathLike[str],
    rows: Sequence[Row],
    class_names: Sequence[str] = ("background", "tumour"),
    channel_names: Sequence[str] = (),
    note: str = "",
) -> None:
    """Write a picture with a row for each case: each channel, then the truth, then the prediction.

    Args:
        path: The PNG file, replaced atomically.
        rows: The cases; all with the same number of channels.
        class_names: Names for the legend, background first (it is not drawn).
        channel_names: Titles of the channels.
        note: A line at the bottom, such as what the pictures are of.

    Raises:
        ValueError: If there is no row or a mask does not fit its image.
    """
    if not rows:
        raise ValueError("save_grid: there is no row; give one case or more")
    strips = [_strip(row, channel_names) for row in rows]
    legend = _legend(class_names, note, max(strip.width for strip in strips))
    width = max(strip.width for strip in [*strips, legend]) + 2 * _MARGIN
    height = sum(strip.height + _MARGIN for strip in [*strips, legend]) + _MARGIN
    picture = Image.new("RGB", (width, height), _PAPER)
    top = _MARGIN
    for strip in [*strips, legend]:
        picture.paste(strip, (_MARGIN, top))
        top += strip.height + _MARGIN
    with atomic_path(path) as temporary:
        picture.save(temporary, format="PNG")


def grey(image: ArrayLike, low: float = 0.5, high: float = 99.5) -> NDArray[np.uint8]:
    """Return an image of any intensity scale as 8-bit grey.

    Args:
        image: Intensities (H, W).
        low: Percentile that becomes black.
        high: Percentile that becomes white.
    """
    values = np.asarray(image, np.float32)
    if values.size == 0 or not np.isfinite(values).all():
        raise ValueError(f"grey: image {values.shape} is empty or not finite; it cannot be shown")
    black, white = np.percentile(values, [low, high])
    if white <= black:
        black, white = float(values.min()), float(values.max())
    scaled = (values - black) / max(white - black, 1e-12)
    shown: NDArray[np.uint8] = np.round(255.0 * np.clip(scaled, 0.0, 1.0)).astype(np.uint8)
    return shown


def overlay(image: ArrayLike, mask: ArrayLike | None = None) -> Image.Image:
    """Draw the outline and a faint fill of each class of a mask over a grey image.

    Args:
        image: Intensities (H, W), any scale.
        mask: Classes (H, W), 0 is not drawn; None draws the image alone.

    Returns:
        A picture enlarged by a whole factor, so that it is at least ``SIDE`` pixels high.

    Raises:
        ValueError: If the mask has another shape than the image.
    """
    pixels = grey(image)
    factor = max(1, -(-SIDE // pixels.shape[0]))
    size = (pixels.shape[1] * factor, pixels.shape[0] * factor)
    picture = Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC).convert("RGB")
    if mask is None:
        return picture
    classes = np.asarray(mask)
    if classes.shape != pixels.shape:
        raise ValueError(f"overlay: mask {classes.shape} does not fit the image {pixels.shape}")
    enlarged = classes.repeat(factor, axis=0).repeat(factor, axis=1)
    canvas = np.asarray(picture, np.float32).copy()
    for k in np.unique(classes[classes > 0]):
        colour = np.array(colour_of(int(k)), np.float32)
        inside = enlarged == k
        canvas[inside] = (1.0 - _FILL) * canvas[inside] + _FILL * colour
        canvas[_outline(inside)] = colour
    return Image.fromarray(np.round(canvas).astype(np.uint8))


def colour_of(k: int) -> tuple[int, int, int]:
    """Return the colour of class k, the same as in mask files; colours repeat after the seventh."""
    red, green, blue = PALETTE[1 + (k - 1) % (len(PALETTE) - 1)]
    return red, green, blue


def _outline(inside: NDArray[np.bool_], width: int = 2) -> NDArray[np.bool_]:
    """Return the pixels of a region that lie within ``width`` of its border."""
    core = inside
    for _ in range(width):
        padded = np.pad(core, 1, mode="edge")
        core = core & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return inside & ~core


def _strip(row: Row, channel_names: Sequence[str]) -> Image.Image:
    """Draw one case: a title line, and below it the panels with their names."""
    channels = row.image if row.image.ndim == 3 else row.image[..., None]
    count = channels.shape[-1]
    names = [channel_names[i] if i < len(channel_names) else "" for i in range(count)]
    unnamed = [f"channel {i + 1}" if count > 1 else "image" for i in range(count)]
    panels = [(names[i] or unnamed[i], overlay(channels[..., i])) for i in range(count)]
    below = f" on {names[row.base]}" if names[row.base] else ""
    for name, mask in (("truth", row.truth), ("prediction", row.prediction)):
        if mask is not None:
            panels.append((name + below, overlay(channels[..., row.base], mask)))
    side = panels[0][1].width
    strip = Image.new(
        "RGB",
        (len(panels) * (side + _GAP) - _GAP, 2 * _LINE + panels[0][1].height),
        _PAPER,
    )
    draw = ImageDraw.Draw(strip)
    draw.text((0, 0), row.title, _INK, font=_font(16))
    draw.text((strip.width, 0), row.text, _INK, font=_font(16), anchor="ra")
    for index, (name, panel) in enumerate(panels):
        left = index * (side + _GAP)
        draw.text((left, _LINE), name, _SOFT, font=_font(13))
        strip.paste(panel, (left, 2 * _LINE))
    return strip


def _legend(class_names: Sequence[str], note: str, width: int) -> Image.Image:
    """Draw a coloured square and a name for each class, and the note below, within ``width``."""
    font = _font(14)
    places: list[tuple[int, int, int, str]] = []
    left, line = 0, 0
    for k, name in enumerate(class_names):
        if k == 0:
            continue
        needed = 22 + int(font.getlength(name)) + 20
        if left and left + needed > width:
            left, line = 0, line + 1
        places.append((k, left, line, name))
        left += needed
    lines = line + 1 + bool(note)
    legend = Image.new("RGB", (max(width, int(font.getlength(note))), lines * _LINE), _PAPER)
    draw = ImageDraw.Draw(legend)
    for k, left, line, name in places:
        top = line * _LINE
        draw.rectangle((left, top + 3, left + 13, top + 16), fill=colour_of(k))
        draw.text((left + 22, top), name, _INK, font=font)
    draw.text((0, (lines - 1) * _LINE), note, _SOFT, font=font)
    return legend


def _font(size: int) -> Any:
    return ImageFont.load_default(size)

"""Strategies of the ops on images: convolution, pooling and resizing, degenerate settings included.

Kernels larger than the image (with padding), strides longer than the kernel, axes of one element,
empty batches, uneven padding, dilation and groups all come up by themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
from hypothesis import strategies as st

from op_case import Arg, OpCase
from voxelgrad.ops._taps import Taps

Draw = Callable[..., Any]
Cases = st.SearchStrategy[OpCase]

BATCHES = st.sampled_from((1, 2, 3, 1, 0))
LONGEST = {1: 24, 2: 9, 3: 5}
LARGEST_KERNEL = {1: 7, 2: 5, 3: 3}
DEPTHS = st.sampled_from((1, 2, 3, 5, 8, 15, 16, 17, 33))
DEPTHWISE = st.sampled_from((2, 3, 16, 17, 33))


def per_axis(rank: int, one: st.SearchStrategy[int]) -> st.SearchStrategy[tuple[int, ...]]:
    return st.tuples(*[one] * rank)


def extents(rank: int) -> st.SearchStrategy[tuple[int, ...]]:
    return per_axis(rank, st.integers(1, LONGEST[rank]))


def images(rank: int, kind: str = "normal") -> st.SearchStrategy[Arg]:
    """Return images ``(N, *spatial, C)``."""
    return st.builds(
        lambda batch, size, channels: Arg((batch, *size, channels), kind),
        BATCHES,
        extents(rank),
        DEPTHS,
    )


def _padding_of_an_axis(draw: Draw, missing: int, uneven: bool) -> tuple[int, int]:
    """Draw a padding of at least ``missing`` elements together."""
    if not uneven:
        least = max(0, (missing + 1) // 2)
        return (draw(st.integers(least, least + 2)),) * 2
    before = draw(st.integers(0, max(0, missing) + 2))
    least = max(0, missing - before)
    return before, draw(st.integers(least, least + 2))


def _depths(draw: Draw) -> tuple[int, int, int]:
    """Draw input channels, output channels and groups."""
    groups = draw(st.sampled_from((1, 1, 2, 3, 0)))
    if groups == 0:
        groups = draw(DEPTHWISE)
        return groups, groups * draw(st.sampled_from((1, 1, 2))), groups
    most = st.sampled_from((1, 2, 3, 8)) if groups > 1 else DEPTHS
    return groups * draw(most), groups * draw(most), groups


def _weights(draw: Draw, kernel: tuple[int, ...], depths: tuple[int, int, int]) -> list[Arg | None]:
    inputs, outputs, groups = depths
    bias = Arg((outputs,)) if draw(st.booleans()) else None
    return [Arg((outputs, *kernel, inputs // groups)), bias]


def _threes(rank: int) -> st.SearchStrategy[tuple[int, ...]]:
    """Return kernels that Winograd's algorithm takes."""
    return st.integers(1, 3).map(lambda depth: (depth, 3, 3)[-rank:])


def _kernels(rank: int) -> st.SearchStrategy[tuple[int, ...]]:
    """Return kernels, those that Winograd's algorithm takes more often than by chance."""
    return per_axis(rank, st.integers(1, LARGEST_KERNEL[rank])) | _threes(rank)


@st.composite
def convolutions(draw: Draw, rank: int, in_blocks: bool = False) -> OpCase:
    """Draw a convolution; ``in_blocks``: one that may read its image in blocks of channels."""
    depths = (32 + draw(DEPTHS), draw(DEPTHS), 1) if in_blocks else _depths(draw)
    kernel, size = draw((_threes if in_blocks else _kernels)(rank)), draw(extents(rank))
    plain = in_blocks or draw(st.booleans())
    stride = (1,) * rank if plain else draw(per_axis(rank, st.integers(1, 4)))
    dilation = (1,) * rank if plain else draw(per_axis(rank, st.integers(1, 3)))
    uneven = draw(st.booleans())
    pairs = tuple(
        _padding_of_an_axis(draw, d * (k - 1) + 1 - n, uneven)
        for n, k, d in zip(size, kernel, dilation, strict=True)
    )
    padding = pairs if uneven else tuple(before for before, _ in pairs)
    settings = {"stride": stride, "padding": padding, "dilation": dilation, "groups": depths[2]}
    image = Arg((draw(BATCHES), *size, depths[0]))
    args = (image, *_weights(draw, kernel, depths))
    return OpCase(f"conv{rank}d", args, settings, "convolution")


@st.composite
def transposed_convolutions(draw: Draw, rank: int) -> OpCase:
    depths = _depths(draw)
    kernel = draw(_kernels(rank))
    size = draw(per_axis(rank, st.integers(1, {1: 12, 2: 6, 3: 3}[rank])))
    plain = draw(st.booleans())
    stride = (1,) * rank if plain else draw(per_axis(rank, st.integers(1, 4)))
    dilation = (1,) * rank if plain else draw(per_axis(rank, st.integers(1, 3)))
    extra = tuple(
        draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True)
    )
    padding = tuple(
        draw(st.integers(0, min(3, ((n - 1) * s + d * (k - 1) + e) // 2)))
        for n, k, s, d, e in zip(size, kernel, stride, dilation, extra, strict=True)
    )
    settings = {"stride": stride, "padding": padding, "dilation": dilation, "groups": depths[2]}
    args = (Arg((draw(BATCHES), *size, depths[0])), *_weights(draw, kernel, depths))
    settings["output_padding"] = extra
    return OpCase(f"conv_transpose{rank}d", args, settings, "convolution")


@st.composite
def pools(draw: Draw, kind: str, rank: int) -> OpCase:
    image = draw(images(rank, "distinct" if kind == "max" else "normal"))
    size = image.shape[1:-1]
    kernel = draw(per_axis(rank, st.integers(1, 4)))
    stride = draw(st.none() | per_axis(rank, st.integers(1, 5)))
    settings: dict[str, Any] = {"kernel_size": kernel, "stride": stride}
    composed = draw(st.booleans())  # of several ops, for what the kernels do not take
    dilation = draw(per_axis(rank, st.integers(1, 3))) if composed else (1,) * rank
    axes = list(zip(size, kernel, dilation, strict=True))
    if composed:
        pairs = [_padding_of_an_axis(draw, d * (k - 1) + 1 - n, True) for n, k, d in axes]
        settings |= {"dilation": dilation, "ceil_mode": draw(st.booleans()), "padding": (*pairs,)}
    else:  # at most half the kernel
        limits = [(max(0, (k - n + 1) // 2), k // 2) for n, k, _ in axes]
        settings["padding"] = tuple(draw(st.integers(*limit)) for limit in limits)
    terms = prod(kernel)
    if kind == "max":
        return OpCase(f"max_pool{rank}d", (image,), settings, "selection", terms)
    settings["count_include_pad"] = draw(st.booleans())
    return OpCase(f"avg_pool{rank}d", (image,), settings, terms=terms)


@st.composite
def adaptive_pools(draw: Draw, rank: int) -> OpCase:
    image, target = draw(images(rank)), draw(extents(rank))
    sizes = list(zip(image.shape[1:-1], target, strict=True))
    terms = prod(n // out + 2 for n, out in sizes) + prod(out // n + 2 for n, out in sizes)
    settings = {"output_size": target}
    return OpCase(f"adaptive_avg_pool{rank}d", (image,), settings, terms=terms)


def global_pools(op: str) -> Cases:
    largest = op == "global_max_pool"

    def case(image: Arg) -> OpCase:
        if largest:
            return OpCase(op, (image,), {}, "selection", 1)
        return OpCase(op, (image,), terms=prod(image.shape[1:-1]))

    kind = "distinct" if largest else "normal"
    return st.integers(1, 3).flatmap(lambda rank: images(rank, kind)).map(case)


@st.composite
def interpolations(draw: Draw) -> OpCase:
    rank = draw(st.integers(1, 3))
    image = draw(images(rank))
    mode = draw(st.sampled_from(("nearest", "linear", "cubic")))
    corners = mode != "nearest" and draw(st.booleans())
    smooth = mode != "nearest" and not corners and draw(st.booleans())
    settings: dict[str, Any] = {"mode": mode, "align_corners": corners, "antialias": smooth}
    if draw(st.booleans()):
        settings["size"] = draw(extents(rank))
        sizes = settings["size"]
    else:
        smallest = min(image.shape[1:-1])
        allowed = [f for f in (0.5, 0.75, 1.0, 1.5, 2.0, 3.0) if f * smallest >= 1]
        settings["scale_factor"] = factor = draw(st.sampled_from(allowed))
        sizes = [int(n * factor) for n in image.shape[1:-1]]
    if smooth or mode == "cubic":
        return OpCase("interpolate", (image,), settings, "resample")
    seen = prod(2 * out / n + 3 for n, out in zip(image.shape[1:-1], sizes, strict=True))
    return OpCase("interpolate", (image,), settings, "interpolate", int(seen))


@st.composite
def resamplings(draw: Draw) -> OpCase:
    """Draw tables of taps: outputs without any, and positions that are used several times."""
    rank = draw(st.integers(1, 3))
    image = draw(images(rank))
    tables, terms = [], 1
    for length in image.shape[1:-1]:
        counts = draw(st.lists(st.integers(0, 3), min_size=1, max_size=6))
        total = sum(counts)
        places = draw(st.lists(st.integers(0, length - 1), min_size=total, max_size=total))
        eighths = draw(st.lists(st.integers(0, 12), min_size=total, max_size=total))
        starts = np.cumsum([0, *counts]).astype(np.int32)
        weights = np.array(eighths, np.float64) / 8.0
        tables.append(Taps(starts, np.array(places, np.int32), weights))
        terms *= max(total, 1)
    return OpCase("resample", (image,), settings=(tables,), terms=terms)

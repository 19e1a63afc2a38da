"""Op cases of what came with ONNX: uneven padding, dilated pooling, cubic resizing, ..."""

from __future__ import annotations

from typing import Any

from op_case import Arg, OpCase

UNEVEN = {1: ((0, 2),), 2: ((0, 1), (2, 0)), 3: ((0, 1), (1, 1), (2, 0))}
SIZES = {1: (2, 9), 2: (2, 7, 6), 3: (1, 5, 4, 6)}


def composed_cases() -> list[OpCase]:
    """Return the cases; ``op_cases`` puts them into the one list."""
    return [
        *_uneven_convolutions(),
        *_pools(),
        *_resizes(),
        *_products(),
        *_elementwise(),
        *_wrapped(),
    ]


def _uneven_convolutions() -> list[OpCase]:
    cases = []
    for rank, padding in UNEVEN.items():
        kernel = (2, 3, 1)[:rank]
        args = (Arg((*SIZES[rank], 5)), Arg((4, *kernel, 5)), Arg((4,)))
        settings = {"stride": 2, "padding": padding}
        cases.append(OpCase(f"conv{rank}d", args, settings, "convolution"))
    return cases


def _pools() -> list[OpCase]:
    cases = []
    windows: tuple[dict[str, Any], ...] = (
        {"kernel_size": 2, "stride": 2, "ceil_mode": True},
        {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
        {"kernel_size": 2, "stride": 1, "dilation": 2},
        {"kernel_size": 2, "stride": 3, "padding": 1, "dilation": 3, "ceil_mode": True},
    )
    for rank, size in SIZES.items():
        for window in (*windows, {"kernel_size": 3, "stride": 2, "padding": UNEVEN[rank]}):
            numbers, distinct = Arg((*size, 3)), Arg((*size, 3), "distinct")
            cases.append(OpCase(f"max_pool{rank}d", (distinct,), window, "selection", 27))
            cases.append(OpCase(f"avg_pool{rank}d", (numbers,), window, terms=27))
            counted = {**window, "count_include_pad": False}
            cases.append(OpCase(f"avg_pool{rank}d", (numbers,), counted, terms=27))
        cases.append(OpCase("global_max_pool", (distinct,), {}, "selection", 1))
    return cases


def _resizes() -> list[OpCase]:
    cases = []
    for rank in (1, 2, 3):
        image = Arg((2, *(5, 4, 3)[:rank], 17 if rank < 3 else 3))
        for size in ((8, 3, 7)[:rank], (2, 7, 1)[:rank]):
            kinds: tuple[dict[str, Any], ...] = (
                {"mode": "cubic"},
                {"mode": "cubic", "align_corners": True},
                {"mode": "cubic", "antialias": True},
                {"mode": "linear", "antialias": True},
            )
            for kind in kinds:
                cases.append(OpCase("interpolate", (image,), {"size": size, **kind}, "resample"))
    return cases


def _products() -> list[OpCase]:
    shapes = (
        ((3, 4), (4, 5)),
        ((4,), (4, 3)),
        ((2, 3, 17), (17,)),
        ((2, 1, 3, 5), (3, 5, 2)),
        ((3, 5), (2, 5, 4)),
        ((5,), (5,)),
        ((3, 5, 7), (3, 7, 6)),
        ((2, 3, 8, 16), (2, 3, 16, 24)),
        ((2, 1, 9, 4), (1, 3, 4, 8)),
    )
    return [OpCase("matmul", (Arg(a), Arg(b)), terms=40) for a, b in shapes]


def _elementwise() -> list[OpCase]:
    cases = []
    for shape in ((3, 17), (2, 3, 4, 5)):
        # Multiples of 1/128 against odd multiples of 1/256: no number is a limit.
        limits = {"low": -51 / 256, "high": 77 / 256}
        cases.append(OpCase("clip", (Arg(shape, "distinct"),), limits, "selection"))
        slopes = Arg(shape[-1:])
        cases.append(OpCase("prelu", (Arg(shape, "away"), slopes), {}, "prelu", 60))
    half = {"low": 1 / 256, "high": float("inf")}
    return [
        *cases,
        OpCase("clip", (Arg((101,), "distinct"),), half, "selection"),
        OpCase("prelu", (Arg((4, 5), "away"), Arg(())), {}, "prelu", 20),
    ]


def _wrapped() -> list[OpCase]:
    image = {"pad_width": ((0, 0), (1, 2), (2, 0), (0, 0)), "mode": "wrap"}
    more = {"pad_width": ((5, 7), (0, 1)), "mode": "wrap"}
    return [
        OpCase("pad", (Arg((2, 4, 5, 3)),), image, "selection", 16),
        OpCase("pad", (Arg((4, 17)),), more, "selection", 16),
    ]

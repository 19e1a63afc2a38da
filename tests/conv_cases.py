"""Cases of convolution, transposed convolution and linear; a part of ``op_cases``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from op_case import Arg, OpCase


def conv_case(
    op: str,
    size: tuple[int, ...],
    channels: tuple[int, int],
    kernel: tuple[int, ...],
    bias: bool = True,
    **params: Any,
) -> OpCase:
    inputs, outputs = channels
    weight = Arg((outputs, *kernel, inputs // params.get("groups", 1)))
    return OpCase(
        f"{op}{len(kernel)}d",
        (Arg((*size, inputs)), weight, Arg((outputs,)) if bias else None),
        params,
        family="convolution",
    )


# batch and spatial extents, kernel: by rank
_SMALL = {1: ((2, 9), (3,)), 2: ((1, 6, 5), (3, 2)), 3: ((1, 5, 5, 4), (2, 3, 2))}
_CHANNELS = [
    (1, 1),
    (1, 16),
    (3, 5),
    (5, 3),
    (4, 17),
    (16, 16),
    (17, 33),
    (33, 40),
    (64, 16),
    (40, 64),
]


def conv_cases() -> list[OpCase]:
    cases = []
    for rank, stride, padding, dilation, groups in product(
        (1, 2, 3), (1, 2), (0, 1), (1, 2), (1, 2)
    ):
        size, kernel = _SMALL[rank]
        settings = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        cases.append(conv_case("conv", size, (2, 4), kernel, **settings))
    for inputs, outputs in _CHANNELS:
        cases.append(conv_case("conv", (2, 7, 9), (inputs, outputs), (3, 3), padding=1))
        cases.append(conv_case("conv", (1, 3, 5, 4), (inputs, outputs), (3, 3, 3), padding=1))
        cases.append(conv_case("conv", (2, 5, 5), (inputs, outputs), (1, 1), bias=False))
        cases.append(conv_case("conv", (1, 9, 8), (inputs, outputs), (3, 3), padding=1, stride=2))
    for kernel in ((1, 1), (2, 2), (5, 5), (7, 7), (1, 3), (3, 1), (5, 2)):
        cases.append(conv_case("conv", (1, 8, 11), (3, 17), kernel))
        cases.append(
            conv_case("conv", (1, 8, 11), (16, 5), kernel, padding=tuple(k // 2 for k in kernel))
        )
    for width in (1, 2, 13, 29, 61):
        cases.append(conv_case("conv", (1, 3, width), (4, 16), (3, 3), bias=False, padding=1))
        cases.append(conv_case("conv", (1, width), (5, 33), (3,), padding=1))
    for groups, channels in (
        (4, (16, 64)),
        (3, (33, 9)),
        (33, (33, 33)),
        (40, (40, 80)),
        (16, (16, 16)),
    ):
        cases.append(conv_case("conv", (2, 6, 7), channels, (3, 3), padding=1, groups=groups))
        cases.append(
            conv_case("conv", (1, 7, 7), channels, (5, 3), stride=2, dilation=(1, 2), groups=groups)
        )
    return [
        *cases,
        conv_case("conv", (1, 4, 5, 6), (17, 17), (3, 3, 3), padding=1, groups=17),
        conv_case("conv", (2, 11), (33, 33), (7,), padding=3, groups=33),
        conv_case(
            "conv", (2, 10, 9), (3, 16), (3, 3), stride=(2, 3), padding=(0, 2), dilation=(2, 1)
        ),
        conv_case("conv", (1, 7, 9), (4, 16), (3, 3), padding=4),
        conv_case("conv", (1, 12, 12), (4, 16), (3, 3), padding=3, dilation=3, bias=False),
        conv_case("conv", (1, 9, 9), (16, 16), (2, 2), stride=2),
        conv_case("conv", (1, 9, 9), (16, 16), (1, 1), stride=2),
        conv_case("conv", (1, 9, 9), (16, 16), (2, 2), stride=3),
        conv_case("conv", (1, 7, 9, 8), (1, 32), (3, 3, 3), stride=2, padding=1),
        conv_case("conv", (1, 11, 13), (3, 24), (7, 7), stride=2, padding=3),
        conv_case("conv", (1, 5, 9, 6), (4, 8), (3, 3, 3), padding=1, bias=False),
        conv_case("conv", (1, 9, 8), (6, 16), (5, 3), padding=(2, 1), groups=2),
    ]


def joined_conv_cases() -> list[OpCase]:
    """Convolutions of several images; two in blocks of 16 channels Winograd reads as they are."""
    cases = []
    for channels in ((16, 16), (32, 16), (16, 5), (3, 4), (16, 32, 1)):
        for size, kernel in (((2, 6, 7), (3, 3)), ((1, 3, 5, 6), (3, 3, 3))):
            cases.append(joined_case(size, channels, 20, kernel, padding=1))
    return [
        *cases,
        joined_case((2, 9), (2, 3), 5, (3,), dilation=2),
        joined_case((1, 9, 8), (16, 16), 16, (3, 3), stride=2, padding=1),
        joined_case((1, 5, 6), (32, 8), 4, (1, 1)),
        joined_case((1, 7, 6), (6, 2), 8, (3, 2), groups=4),
        joined_case((1, 6, 6), (16, 17), 16, (3, 3), padding=((1, 2), (0, 1))),
    ]


def joined_case(
    size: tuple[int, ...],
    channels: tuple[int, ...],
    outputs: int,
    kernel: tuple[int, ...],
    **params: Any,
) -> OpCase:
    weight = Arg((outputs, *kernel, sum(channels) // params.get("groups", 1)))
    images = (Arg((*size, inputs)) for inputs in channels)
    return OpCase(
        f"conv{len(kernel)}d",
        (*images, weight, Arg((outputs,))),
        params,
        family="joined_convolution",
        joined=len(channels),
    )


def conv_transpose_cases() -> list[OpCase]:
    cases = []
    for rank, stride, padding, dilation, groups in product(
        (1, 2, 3), (1, 2), (0, 1), (1, 2), (1, 2)
    ):
        size, kernel = _SMALL[rank]
        settings = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        cases.append(
            conv_case("conv_transpose", size, (4, 2), kernel, output_padding=stride - 1, **settings)
        )
    for inputs, outputs in _CHANNELS:
        cases.append(conv_case("conv_transpose", (2, 5, 4), (inputs, outputs), (2, 2), stride=2))
        cases.append(
            conv_case(
                "conv_transpose", (1, 3, 4, 3), (inputs, outputs), (2, 2, 2), stride=2, bias=False
            )
        )
        cases.append(
            conv_case(
                "conv_transpose",
                (1, 5, 7),
                (inputs, outputs),
                (3, 3),
                stride=2,
                padding=1,
                output_padding=1,
            )
        )
    return [
        *cases,
        conv_case("conv_transpose", (1, 6, 7), (17, 17), (3, 3), padding=1, groups=17),
        conv_case("conv_transpose", (1, 6, 7), (16, 32), (4, 4), stride=2, padding=1, groups=4),
        conv_case("conv_transpose", (1, 4, 5), (5, 3), (2, 3), stride=3),
        conv_case(
            "conv_transpose", (1, 4, 5), (3, 16), (5, 3), stride=(3, 1), output_padding=(2, 0)
        ),
        conv_case("conv_transpose", (2, 7), (33, 5), (1,), stride=2),
        conv_case("conv_transpose", (1, 5, 6), (4, 16), (3, 3), stride=(2, 3), padding=1),
    ]


def linear_cases() -> list[OpCase]:
    sizes = (
        (1, 1, 1),
        (3, 5, 4),
        (2, 17, 33),
        (7, 64, 16),
        (33, 40, 17),
        (5, 3, 10),
        (61, 130, 3),
        (1, 70, 33),
        (1, 5, 130),
    )
    cases = [
        OpCase("linear", (Arg((m, k)), Arg((n, k)), Arg((n,)) if m % 2 else None))
        for m, k, n in sizes
    ]
    return [*cases, OpCase("linear", (Arg((2, 3, 4, 5)), Arg((6, 5)), Arg((6,))))]


def random_conv_cases(count: int = 40) -> list[OpCase]:
    """Return convolutions with settings drawn by a fixed seed: combinations nobody thought of."""
    rng = np.random.default_rng(20)
    cases: list[OpCase] = []
    while len(cases) < count:
        rank = int(rng.integers(1, 4))
        draw = partial(_draw, rng, rank)
        size, kernel = draw(range(1, 14 if rank < 3 else 7)), draw((1, 2, 3, 3, 4, 5))
        stride, padding, dilation = draw((1, 1, 2, 3)), draw((0, 1, 2, 3)), draw((1, 1, 2, 3))
        groups = int(rng.choice([1, 1, 2, 5]))
        channels = (groups * int(rng.choice(_DEPTHS)), groups * int(rng.choice(_DEPTHS)))
        reach = (d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True))
        sizes = zip(size, padding, reach, strict=True)
        if all(n + 2 * p >= r for n, p, r in sizes):
            settings = {"stride": stride, "padding": padding, "dilation": dilation}
            batch = (int(rng.integers(1, 4)), *size)
            bias = bool(rng.random() < 0.5)
            cases.append(
                conv_case("conv", batch, channels, kernel, bias, groups=groups, **settings)
            )
    return cases


_DEPTHS = (1, 2, 3, 8, 15, 16, 17, 32, 33)


def _draw(rng: np.random.Generator, count: int, choices: Sequence[int]) -> tuple[int, ...]:
    return tuple(int(value) for value in rng.choice(choices, count))

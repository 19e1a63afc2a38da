"""The one list of op cases, read by the parity, gradient, instruction-set and repeatability tests.

Shapes are small, and chosen to leave tails: odd extents, channels that are no multiple of a vector,
kernels that are not square. A new op gets its cases here and is then held to all of those tests.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from composed_cases import composed_cases
from conv_cases import (
    conv_cases,
    conv_transpose_cases,
    joined_conv_cases,
    linear_cases,
    random_conv_cases,
)
from large_cases import large_cases
from op_case import Arg, OpCase

AFFINE = ("weight", "bias")


def _pool_cases() -> list[OpCase]:
    cases = []
    small = {1: ((2, 9), 3), 2: ((2, 7, 6), (3, 2)), 3: ((1, 5, 4, 6), 2)}
    for rank, stride, padding, channels in product((1, 2, 3), (None, 1, 3), (0, 1), (1, 5, 33)):
        size, kernel = small[rank]
        terms = 12 if rank < 3 else 16
        params = {"kernel_size": kernel, "stride": stride, "padding": padding}
        shape = (*size, channels)
        if channels != 5 or stride is None:
            cases.append(
                OpCase(f"max_pool{rank}d", (Arg(shape, "distinct"),), params, "selection", terms)
            )
            cases.append(OpCase(f"avg_pool{rank}d", (Arg(shape),), params, terms=terms))
        if padding and channels == 33:
            params = {**params, "count_include_pad": False}
            cases.append(OpCase(f"avg_pool{rank}d", (Arg(shape),), params, terms=terms))
    big = {"kernel_size": 17, "stride": 2, "padding": 1}  # more than 256 places: wide indices
    cases.append(OpCase("max_pool2d", (Arg((1, 20, 19, 2), "distinct"),), big, "selection", 81))
    targets = {1: (4,), 2: (3, 5), 3: (2, 3, 1)}
    for rank, channels in product((1, 2, 3), (1, 17)):
        shape = (2, *(7, 6, 5)[:rank], channels)
        settings = {"output_size": targets[rank]}
        cases.append(OpCase(f"adaptive_avg_pool{rank}d", (Arg(shape),), settings, terms=64))
        cases.append(OpCase("global_avg_pool", (Arg(shape),), terms=210))
    cases.append(OpCase("adaptive_avg_pool2d", (Arg((1, 3, 4, 3)),), {"output_size": 7}, terms=16))
    return cases


def _norm_cases() -> list[OpCase]:
    cases = []
    shapes = ((2, 5, 4, 3), (3, 7, 16), (2, 3, 3, 2, 17), (9, 33), (1, 6, 7, 40))
    for shape, affine, training in product(shapes, (True, False), (True, False)):
        scale = (Arg(shape[-1:]), Arg(shape[-1:])) if affine else (None, None)
        statistics = (Arg(shape[-1:], "statistic"), Arg(shape[-1:], "spread"))
        settings = {"training": training}
        terms = int(np.prod(shape[:-1]))
        cases.append(
            OpCase("batch_norm", (Arg(shape), *statistics, *scale), settings, "batch_norm", terms)
        )
    for shape, affine in product(shapes[:3] + shapes[4:], (True, False)):
        scale = (Arg(shape[-1:]), Arg(shape[-1:])) if affine else (None, None)
        cases.append(
            OpCase("instance_norm", (Arg(shape), *scale), {}, "group_norm", int(np.prod(shape)))
        )
    for channels, groups in ((4, 2), (6, 1), (6, 3), (40, 5), (33, 11), (16, 16)):
        args = (Arg((2, 4, 3, channels)), Arg((channels,)), Arg((channels,)))
        params, terms = {"num_groups": groups}, 24 * channels
        cases.append(OpCase("group_norm", args, params, "group_norm", terms, keywords=AFFINE))
    for shape, normalized in (
        ((5, 7), (7,)),
        ((2, 3, 4, 17), (17,)),
        ((3, 4, 5), (4, 5)),
        ((2, 64), (64,)),
    ):
        args = (Arg(shape), Arg(normalized), Arg(normalized))
        params, terms = {"normalized_shape": normalized}, int(np.prod(shape))
        cases.append(OpCase("layer_norm", args, params, "layer_norm", terms, keywords=AFFINE))
        cases.append(OpCase("layer_norm", args[:1], params, "layer_norm", terms))
    cases += _activated_norm_cases()
    channel = (Arg((3,)), Arg((3,)))
    far = Arg((2, 6, 5, 3), "offset")
    statistics = (Arg((3,), "statistic"), Arg((3,), "spread"))
    return [
        *cases,
        OpCase("batch_norm", (far, *statistics, *channel), {"training": True}, "batch_norm", 60),
        OpCase("instance_norm", (far, *channel), {}, "group_norm", 60),
    ]


def _activated_norm_cases() -> list[OpCase]:
    """Norms with an activation in the same pass."""
    cases = []
    activations = ({"activation": "relu"}, {"activation": "leaky_relu", "negative_slope": 0.2})
    for shape, activation in product(((2, 5, 4, 3), (3, 7, 16), (2, 3, 3, 2, 17)), activations):
        terms = int(np.prod(shape))
        channel = (Arg(shape[-1:]), Arg(shape[-1:]))
        statistics = (Arg(shape[-1:], "statistic"), Arg(shape[-1:], "spread"))
        for training, affine in ((True, channel), (True, (None, None)), (False, channel)):
            args = (Arg(shape), *statistics, *affine)
            params = {"training": training, **activation}
            cases.append(OpCase("batch_norm", args, params, "batch_norm", terms))
        args = (Arg(shape), *channel)
        cases.append(OpCase("instance_norm", args, activation, "group_norm", terms))
        params = {"normalized_shape": shape[-1:], **activation}
        cases.append(OpCase("layer_norm", args, params, "layer_norm", terms, keywords=AFFINE))
    args = (Arg((2, 4, 3, 40)), Arg((40,)), Arg((40,)))
    for activation in activations:
        params = {"num_groups": 5, **activation}
        cases.append(OpCase("group_norm", args, params, "group_norm", 960, keywords=AFFINE))
    return cases


def _elementwise_cases() -> list[OpCase]:
    cases = []
    kinds = {
        "relu": ("away", {}),
        "leaky_relu": ("away", {"negative_slope": 0.01}),
        "elu": ("away", {"alpha": 0.7}),
        "sigmoid": ("normal", {}),
        "tanh": ("normal", {}),
        "softplus": ("normal", {}),
        "exp": ("normal", {}),
        "log": ("positive", {}),
        "sqrt": ("positive", {}),
        "abs": ("away", {}),
        "square": ("normal", {}),
    }
    for (op, (kind, params)), shape in product(kinds.items(), ((1,), (3, 5), (2, 3, 17), (101,))):
        cases.append(OpCase(op, (Arg(shape, kind),), params, "elementwise"))
    pairs = (
        ((3, 4), (3, 4)),
        ((2, 5, 33), (33,)),
        ((4, 1, 3), (5, 1)),
        ((1,), (2, 17)),
        ((7, 16), ()),
    )
    for op, (left, right) in product(("add", "sub", "mul", "div"), pairs):
        divisor = Arg(right, "positive" if op == "div" else "normal")
        cases.append(OpCase(op, (Arg(left), divisor), terms=330))
    for shape in ((3,), (5, 33), (2, 3, 40)):
        cases.append(OpCase("dropout", (Arg(shape),), {"p": 0.4}, terms=1))
    return cases


def _softmax_cases() -> list[OpCase]:
    cases = []
    for op, shape in product(
        ("softmax", "log_softmax"), ((4, 2), (3, 5, 4), (2, 17), (1, 1), (2, 3, 3, 33))
    ):
        cases.append(OpCase(op, (Arg(shape),), {}, op))
        if len(shape) > 2:
            cases.append(OpCase(op, (Arg(shape),), {"axis": 1}, op))
    return cases


def _shape_cases() -> list[OpCase]:
    cases = []
    for axis, extents in ((-1, (3, 5)), (-1, (16, 16)), (1, (2, 1, 3)), (0, (2, 2))):
        shapes = []
        for extent in extents:
            shape = [2, 3, 4]
            shape[axis] = extent
            shapes.append(Arg(tuple(shape)))
        cases.append(OpCase("concat", tuple(shapes), {"axis": axis}, "selection", 1, listed=True))
    for mode in ("constant", "reflect", "edge"):
        image = ((0, 0), (1, 2), (2, 0), (0, 0))
        cases.append(
            OpCase("pad", (Arg((2, 4, 5, 3)),), {"pad_width": image, "mode": mode}, "selection", 16)
        )
        every = ((1, 1), (2, 3))
        cases.append(
            OpCase("pad", (Arg((4, 17)),), {"pad_width": every, "mode": mode}, "selection", 16)
        )
    cropped = (Arg((3, 6, 5, 17)),)
    moves = {"family": "selection", "terms": 1}
    return [
        *cases,
        OpCase("crop", cropped, {"start": (0, 2, 1, 0), "size": (3, 3, 4, 17)}, "selection", 1),
        OpCase("crop", cropped, {"start": (1, 0, 0, 5), "size": (1, 6, 5, 7)}, "selection", 1),
        OpCase("getitem", cropped, settings=((slice(1, 3), 2, ..., slice(5)),), **moves),
        OpCase("reshape", (Arg((2, 6, 5)),), settings=(3, -1), **moves),
        OpCase("transpose", (Arg((2, 3, 17)),), settings=(2, 0, 1), **moves),
        OpCase("transpose", (Arg((4, 5)),), settings=(1, 0), **moves),
        OpCase("transpose", (Arg((2, 3, 4, 5, 6)),), settings=(0, 4, 1, 2, 3), **moves),
    ]


def _reduction_cases() -> list[OpCase]:
    cases = []
    for op, axis, keepdims in product(
        ("sum", "mean"), (None, 0, -1, (0, 2), (1, 2)), (True, False)
    ):
        shape = (3, 7, 17)
        settings = {"axis": axis, "keepdims": keepdims}
        cases.append(OpCase(op, (Arg(shape),), settings, terms=int(np.prod(shape))))
    return cases


def _interpolate_cases() -> list[OpCase]:
    cases = []
    modes = (("nearest", False), ("linear", False), ("linear", True))
    for rank, (mode, corners), channels in product((1, 2, 3), modes, (1, 17)):
        shape = (2, *(5, 4, 3)[:rank], channels)
        resizes: tuple[dict[str, Any], ...] = (
            {"size": (8, 3, 7)[:rank]},
            {"scale_factor": 2},
            {"size": (1, 4, 2)[:rank]},
        )
        for resize in resizes:
            settings = {**resize, "mode": mode, "align_corners": corners}
            cases.append(OpCase("interpolate", (Arg(shape),), settings, "interpolate", terms=168))
    return cases


def _loss_cases() -> list[OpCase]:
    cases = []
    for shape in ((4, 2), (2, 3, 5, 4), (1, 4, 3, 2, 17), (3, 33)):
        classes, logits = shape[-1], Arg(shape)
        rows = int(np.prod(shape[:-1]))
        labels = Arg(shape[:-1], "labels", classes)
        some = Arg(shape[:-1], "labels", classes, ignored=-100)
        weight = Arg((classes,), "class_weight")
        for target, class_weight in product((labels, some), (None, weight)):
            args = (logits, target, class_weight)
            cases.append(OpCase("cross_entropy", args, {}, "cross_entropy", rows))
        zero = Arg(shape[:-1], "labels", classes, ignored=0)
        cases.append(
            OpCase("cross_entropy", (logits, zero), {"ignore_index": 0}, "cross_entropy", rows)
        )
        for gamma in (0.0, 1.5, 2.0):
            cases.append(OpCase("focal_loss", (logits, some), {"gamma": gamma}, "focal", rows))
        for params in ({}, {"include_background": False}, {"batch": False}, {"smooth": 1.0}):
            cases.append(OpCase("dice_loss", (logits, labels), params, "dice", rows))
        cases.append(OpCase("dice_loss", (logits, some), {}, "dice", rows))
        cases.append(OpCase("dice_ce_loss", (logits, some), {}, "dice_ce", rows))
    for shape, pos_weight in product(((3, 5), (2, 4, 33)), (1.0, 2.5)):
        args = (Arg(shape), Arg(shape, "unit"))
        settings = {"pos_weight": pos_weight}
        cases.append(
            OpCase("binary_cross_entropy_with_logits", args, settings, "bce", int(np.prod(shape)))
        )
    for op, shape in product(("mse_loss", "l1_loss"), ((3, 5), (2, 4, 33))):
        args = (Arg(shape), Arg(shape, "target"))
        cases.append(OpCase(op, args, {}, "distance", int(np.prod(shape))))
    return cases


CASES: list[OpCase] = [
    *conv_cases(),
    *random_conv_cases(),
    *joined_conv_cases(),
    *conv_transpose_cases(),
    *linear_cases(),
    *_pool_cases(),
    *_norm_cases(),
    *_elementwise_cases(),
    *_softmax_cases(),
    *_shape_cases(),
    *_reduction_cases(),
    *_interpolate_cases(),
    *_loss_cases(),
    *composed_cases(),
]

CONV_CASES = [c for c in CASES if (c.op.startswith("conv") or c.op == "linear") and not c.joined]

# Large enough that the work is split among threads and into blocks.
LARGE_CASES: list[OpCase] = large_cases()

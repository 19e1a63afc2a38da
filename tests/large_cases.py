"""Cases large enough that the work is split among threads; a part of ``op_cases``."""

from __future__ import annotations

from typing import Any

from conv_cases import conv_case
from op_case import Arg, OpCase

AFFINE = ("weight", "bias")
_IMAGE, _VOLUME = (2, 61, 67), (1, 19, 23, 29)
_ACTIVATIONS = Arg((2, 97, 101, 24))
_CHANNELS = (Arg((24,)), Arg((24,)))
_VOXELS = 2 * 97 * 101


def _convolutions() -> list[OpCase]:
    return [
        conv_case("conv", _IMAGE, (24, 40), (3, 3), padding=1),
        conv_case("conv", (2, 35, 37), (150, 140), (3, 3), padding=1),
        conv_case("conv", _IMAGE, (24, 40), (1, 1)),
        conv_case("conv", _IMAGE, (40, 4), (1, 1)),
        conv_case("conv", _IMAGE, (4, 32), (3, 3), padding=1),
        conv_case("conv", _VOLUME, (3, 40), (3, 3, 3), stride=2, padding=1),
        conv_case("conv", _IMAGE, (24, 40), (3, 3), stride=2, padding=1),
        conv_case("conv", _IMAGE, (3, 33), (7, 7), stride=2, padding=3),
        conv_case("conv", _IMAGE, (48, 48), (3, 3), padding=1, groups=48),
        conv_case("conv", _IMAGE, (24, 48), (3, 3), dilation=2, groups=4),
        conv_case("conv", _VOLUME, (17, 24), (3, 3, 3), padding=1),
        conv_case("conv", (2, 9001), (8, 16), (5,), padding=2),
        conv_case("conv_transpose", _IMAGE, (40, 24), (2, 2), stride=2),
        conv_case("conv_transpose", _VOLUME, (24, 16), (3, 3, 3), stride=2, padding=1),
        OpCase("linear", (Arg((701, 260)), Arg((129, 260)), Arg((129,)))),
    ]


def _on_activations() -> list[OpCase]:
    def case(
        op: str, *others: Arg, family: str = "monomial", terms: int = _VOXELS, **params: Any
    ) -> OpCase:
        keywords = AFFINE if op in ("group_norm", "layer_norm") else ()
        return OpCase(op, (_ACTIVATIONS, *others), params, family, terms, keywords=keywords)

    statistics = (Arg((24,), "statistic"), Arg((24,), "spread"))
    crop = {"start": (0, 3, 2, 0), "size": (2, 90, 97, 24)}
    reflected = ((0, 0), (3, 2), (1, 1), (0, 0))
    both = (_ACTIVATIONS, _ACTIVATIONS)
    return [
        case("batch_norm", *statistics, *_CHANNELS, family="batch_norm", training=True),
        case("batch_norm", *statistics, *_CHANNELS, family="batch_norm", training=False),
        case(
            "batch_norm",
            *statistics,
            *_CHANNELS,
            family="batch_norm",
            training=True,
            activation="relu",
        ),
        case("instance_norm", *_CHANNELS, family="group_norm"),
        case(
            "instance_norm",
            *_CHANNELS,
            family="group_norm",
            activation="leaky_relu",
            negative_slope=0.01,
        ),
        case("group_norm", *_CHANNELS, family="group_norm", num_groups=6),
        case("layer_norm", *_CHANNELS, family="layer_norm", normalized_shape=(24,)),
        *_long_rows(),
        case("adaptive_avg_pool2d", output_size=(7, 5)),
        case("global_avg_pool"),
        case("relu", family="elementwise"),
        case("sigmoid", family="elementwise"),
        case("add", Arg((24,))),
        case("mul", Arg((2, 1, 1, 24))),
        case("dropout", terms=1),
        case("pad", family="selection", terms=4, pad_width=reflected, mode="reflect"),
        case("crop", family="selection", terms=1, **crop),
        case("sum", terms=24 * _VOXELS),
        case("mean", axis=(0, 1, 2)),
        case("sum", axis=-1, terms=24),
        OpCase("concat", both, {"axis": -1}, "selection", 1, listed=True),
        OpCase("transpose", (_ACTIVATIONS,), {}, "selection", 1, settings=(0, 3, 1, 2)),
    ]


def _long_rows() -> list[OpCase]:
    """Layer norms over rows that a team of threads cannot hold, or a block would take long for."""
    cases = []
    for shape in ((3, 5001), (2, 9000), (2, 20000)):
        args = (Arg(shape), Arg(shape[-1:]), Arg(shape[-1:]))
        params = {"normalized_shape": shape[-1:], "activation": "relu"}
        cases.append(
            OpCase("layer_norm", args, params, "layer_norm", 3 * shape[-1], keywords=AFFINE)
        )
    return cases


def _losses() -> list[OpCase]:
    logits, labels = Arg((2, 151, 157, 4)), Arg((2, 151, 157), "labels", 4, ignored=-100)
    rows = 2 * 151 * 157
    unit, target = Arg(logits.shape, "unit"), Arg(logits.shape, "target")
    positive = {"pos_weight": 1.5}
    return [
        OpCase("softmax", (logits,), {}, "softmax"),
        OpCase("log_softmax", (logits,), {}, "log_softmax"),
        OpCase("cross_entropy", (logits, labels), {}, "cross_entropy", rows),
        OpCase("focal_loss", (logits, labels), {"gamma": 2.0}, "focal", rows),
        OpCase("dice_loss", (logits, labels), {}, "dice", rows),
        OpCase("binary_cross_entropy_with_logits", (logits, unit), positive, "bce", 4 * rows),
        OpCase("mse_loss", (logits, target), {}, "distance", 4 * rows),
    ]


def _windows() -> list[OpCase]:
    pool = {"kernel_size": 3, "stride": 2, "padding": 1}
    image = (Arg((2, 47, 51, 24)),)
    nearest, linear = ({"scale_factor": 2, "mode": m} for m in ("nearest", "linear"))
    return [
        OpCase("max_pool2d", (Arg(_ACTIVATIONS.shape, "distinct"),), pool, "selection", 4),
        OpCase("avg_pool3d", (Arg((1, 29, 31, 33, 9)),), {"kernel_size": 2}, terms=8),
        OpCase("interpolate", image, nearest, "interpolate", 16),
        OpCase("interpolate", image, linear, "interpolate", 16),
    ]


def large_cases() -> list[OpCase]:
    """Return at least one case for every native room."""
    return [*_convolutions(), *_on_activations(), *_losses(), *_windows()]

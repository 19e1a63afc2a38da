"""Strategies of the norms and the losses."""

from __future__ import annotations

from math import prod
from typing import Any

from hypothesis import strategies as st

from drawn_spatial import Cases, Draw
from op_case import Arg, OpCase

CHANNELS = st.sampled_from((1, 2, 3, 5, 16, 17, 33))
AFFINE = ("weight", "bias")
ACTIVATIONS = st.sampled_from(
    ({}, {"activation": "relu"}, {"activation": "leaky_relu", "negative_slope": 0.2})
)


@st.composite
def _images(draw: Draw, fewest: int, empty: bool, spatial_axes: tuple[int, int] = (1, 3)) -> Arg:
    """Draw ``(N, *spatial, C)``, of ``fewest`` positions or more in a sample."""
    size = draw(st.lists(st.integers(1, 5), min_size=spatial_axes[0], max_size=spatial_axes[1]))
    if prod(size) < fewest:
        size[0] = fewest
    batch = draw(st.sampled_from((1, 2, 3, 0) if empty else (1, 2, 3)))
    # A mean far from 0 asks for statistics that do not cancel.
    return Arg((batch, *size, draw(CHANNELS)), draw(st.sampled_from(("normal", "offset"))))


def _affine(draw: Draw, shape: tuple[int, ...]) -> tuple[Arg | None, ...]:
    return (Arg(shape), Arg(shape)) if draw(st.booleans()) else (None, None)


@st.composite
def _batch_norms(draw: Draw) -> OpCase:
    training = draw(st.booleans())
    image = draw(_images(2 if training else 1, empty=not training))
    channel = image.shape[-1:]
    statistics = (Arg(channel, "statistic"), Arg(channel, "spread"))
    settings = {"training": training, **draw(ACTIVATIONS)}
    args = (image, *statistics, *_affine(draw, channel))
    return OpCase("batch_norm", args, settings, "batch_norm", prod(image.shape[:-1]))


@st.composite
def _instance_norms(draw: Draw) -> OpCase:
    image = draw(_images(2, empty=True))
    args = (image, *_affine(draw, image.shape[-1:]))
    return OpCase("instance_norm", args, draw(ACTIVATIONS), "group_norm", prod(image.shape))


@st.composite
def _group_norms(draw: Draw) -> OpCase:
    image = draw(_images(2, empty=True))
    channels = image.shape[-1]
    groups = draw(st.sampled_from([g for g in range(1, channels + 1) if channels % g == 0]))
    settings = {"num_groups": groups, **draw(ACTIVATIONS)}
    args = (image, *_affine(draw, (channels,)))
    return OpCase("group_norm", args, settings, "group_norm", prod(image.shape), keywords=AFFINE)


@st.composite
def _layer_norms(draw: Draw) -> OpCase:
    axes = draw(st.integers(1, 3))
    normalized = tuple(draw(st.lists(st.integers(1, 7), min_size=axes, max_size=axes)))
    normalized = (*normalized[:-1], max(2, normalized[-1]))
    rows = tuple(draw(st.lists(st.integers(0, 5), max_size=2)))
    settings = {"normalized_shape": normalized, **draw(ACTIVATIONS)}
    image = Arg((*rows, *normalized), draw(st.sampled_from(("normal", "offset"))))
    args = (image, *_affine(draw, normalized))
    return OpCase("layer_norm", args, settings, "layer_norm", prod(image.shape), keywords=AFFINE)


@st.composite
def _scores(draw: Draw, fewest_classes: int = 1) -> tuple[int, ...]:
    """Draw the shape of logits ``(N, *spatial, K)``."""
    rows = draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    return (*rows, max(fewest_classes, draw(CHANNELS)))


@st.composite
def _label_losses(draw: Draw, op: str) -> OpCase:
    settings: dict[str, Any] = {}
    if "dice" in op:
        settings["include_background"] = draw(st.booleans())
        settings["batch"] = draw(st.booleans())
        settings["smooth"] = draw(st.sampled_from((1e-5, 1.0)))
    shape = draw(_scores(1 if settings.get("include_background", True) else 2))
    classes = shape[-1]
    ignored = draw(st.sampled_from((None, -100)))
    args: list[Arg | None] = [Arg(shape), Arg(shape[:-1], "labels", classes, ignored)]
    weight = Arg((classes,), "class_weight") if draw(st.booleans()) else None
    keywords: tuple[str, ...] = ()
    if op != "dice_loss":
        args.append(weight)
        keywords = ("class_weight",)
    if op == "focal_loss":
        settings["gamma"] = draw(st.sampled_from((0.0, 1.0, 1.5, 2.0, 3.0)))
    family = {"cross_entropy": op, "focal_loss": "focal", "dice_loss": "dice"}.get(op, "dice_ce")
    return OpCase(op, tuple(args), settings, family, prod(shape[:-1]), keywords=keywords)


@st.composite
def _plain_losses(draw: Draw, op: str) -> OpCase:
    shape = tuple(draw(st.lists(st.integers(1, 17), max_size=3)))
    if op == "binary_cross_entropy_with_logits":
        settings = {"pos_weight": draw(st.sampled_from((1.0, 0.3, 2.5)))}
        return OpCase(op, (Arg(shape), Arg(shape, "unit")), settings, "bce", prod(shape))
    return OpCase(op, (Arg(shape), Arg(shape, "target")), {}, "distance", prod(shape))


NORMS: dict[str, Cases] = {
    "batch_norm": _batch_norms(),
    "instance_norm": _instance_norms(),
    "group_norm": _group_norms(),
    "layer_norm": _layer_norms(),
}

LOSSES: dict[str, Cases] = {
    op: _label_losses(op) for op in ("cross_entropy", "focal_loss", "dice_loss", "dice_ce_loss")
} | {op: _plain_losses(op) for op in ("binary_cross_entropy_with_logits", "mse_loss", "l1_loss")}

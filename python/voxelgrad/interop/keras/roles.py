"""What the arrays of a Keras layer are: by name in older files, by position in newer ones."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# What each array is called in voxelgrad's layers; what is not named here keeps its name.
OURS = {
    "kernel": "weight",
    "gamma": "weight",
    "alpha": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
_NORMS = ("batch_normalization", "layer_normalization", "group_normalization")
_STATISTICS = ["moving_mean", "moving_variance"]


def snake(class_name: str) -> str:
    """Return a class's name as Keras writes it into files: ``Conv2DTranspose`` conv2d_transpose."""
    words = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", class_name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower()


def roles(kind: str, count: int, settings: Mapping[str, Any] | None = None) -> list[str]:
    """Return what the arrays of a layer are, in the order in which Keras keeps them.

    Args:
        kind: The layer's class as ``snake`` writes it.
        count: How many arrays are stored.
        settings: The layer's configuration, if it is known.

    Returns:
        Their names; positions as text where the number does not tell.
    """
    known = _norm(kind, count, settings) if kind in _NORMS else _weighted(kind)[:count]
    return known if len(known) == count else [str(index) for index in range(count)]


def _weighted(kind: str) -> list[str]:
    if kind.startswith("separable_conv"):
        return ["depthwise_kernel", "pointwise_kernel", "bias"]
    if kind == "p_re_lu":
        return ["alpha"]
    if kind == "dense" or re.fullmatch(r"(depthwise_)?conv[123]d(_transpose)?", kind):
        return ["kernel", "bias"]
    return []


def _norm(kind: str, count: int, settings: Mapping[str, Any] | None) -> list[str]:
    """Return the arrays of a norm; without settings only all or none of scale and shift tell."""
    statistics = _STATISTICS if kind == "batch_normalization" else []
    if settings is None:
        affine = ["gamma", "beta"] if count == len(statistics) + 2 else []
    else:
        affine = ["gamma"] if settings.get("scale", True) else []
        affine += ["beta"] if settings.get("center", True) else []
    return [*affine, *statistics]

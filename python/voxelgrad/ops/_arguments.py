"""Arguments of ops: settings made into tuples, and the checks that several ops share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from voxelgrad.backends import constant_beside, device_of, is_on_device, move
from voxelgrad.tensor import Array, Tensor

Shape = tuple[int, ...]
IntOrTuple = int | Sequence[int]

LAYOUTS = {1: "(N, L, C)", 2: "(N, H, W, C)", 3: "(N, D, H, W, C)"}
"""How an input of a spatial op is laid out, by its number of spatial axes."""


def as_ints(op: str, name: str, value: Any, rank: int) -> Shape:
    """Return ``value`` (an int for all axes, or one int per axis) as a tuple of ``rank`` ints.

    Raises:
        TypeError: If it is neither.
        ValueError: If it has another length.
    """
    if type(value) is int:
        return (value,) * rank
    if type(value) is tuple and len(value) == rank and all(type(v) is int for v in value):
        return value
    rule = f"{name} must be an int or {rank} ints"
    if isinstance(value, np.integer):
        return (int(value),) * rank
    if not isinstance(value, (tuple, list)):
        raise TypeError(f"{op}: {rule}; got {value!r} ({type(value).__name__})")
    if not all(isinstance(v, (int, np.integer)) and not isinstance(v, bool) for v in value):
        raise TypeError(f"{op}: {rule}; got {value!r}")
    if len(value) != rank:
        raise ValueError(f"{op}: {rule}; got {len(value)}: {value!r}")
    return tuple(int(v) for v in value)


def check_minimum(op: str, name: str, values: Shape, minimum: int) -> None:
    """Raise ``ValueError`` if one of ``values`` is below ``minimum``."""
    if min(values) < minimum:
        raise ValueError(f"{op}: {name} is {_short(values)}; it must be {minimum} or greater")


def check_images(op: str, shape: Shape, rank: int) -> None:
    """Raise ``ValueError`` unless ``shape`` is ``(N, *spatial, C)`` with ``rank`` spatial axes.

    An empty batch (N = 0) is allowed; empty spatial or channel axes are not.
    """
    if len(shape) != rank + 2:
        hint = "; add a batch axis of length 1" if len(shape) == rank + 1 else ""
        raise ValueError(
            f"{op}: input has shape {shape}, that is {len(shape)} axes; it must have "
            f"{rank + 2}: {LAYOUTS[rank]}{hint}"
        )
    if 0 in shape[1:]:
        raise ValueError(
            f"{op}: input has shape {shape}; only the batch axis of {LAYOUTS[rank]} may be empty"
        )


def check_parameter(op: str, name: str, array: Array | None, channels: int, of: str) -> None:
    """Raise ``ValueError`` unless a per-channel parameter has shape ``(channels,)``."""
    if array is not None and array.shape != (channels,):
        raise ValueError(
            f"{op}: {name} has shape {array.shape}, but {of} has {channels} channels; {name} must "
            f"have shape ({channels},)"
        )


def as_axis(op: str, axis: Any, ndim: int) -> int:
    """Return ``axis`` counted from the front.

    Raises:
        TypeError: If it is not an int.
        ValueError: If the input has no such axis.
    """
    if not isinstance(axis, (int, np.integer)) or isinstance(axis, bool):
        raise TypeError(f"{op}: axis must be an int; got {axis!r} ({type(axis).__name__})")
    if not -ndim <= axis < ndim:
        raise ValueError(
            f"{op}: axis is {axis}, but the input has {ndim} axes; axis must lie in "
            f"[{-ndim}, {ndim})"
        )
    return int(axis) % ndim


def as_axes(op: str, axis: Any, ndim: int) -> Shape:
    """Return the set of axes ``axis`` names (``None``: all), sorted and counted from the front.

    Raises:
        TypeError: If it is not ``None``, an int or a sequence of ints.
        ValueError: If an axis does not exist or is named twice.
    """
    if axis is None:
        return tuple(range(ndim))
    listed = axis if isinstance(axis, (tuple, list)) else (axis,)
    axes = sorted(as_axis(op, one, ndim) for one in listed)
    if len(set(axes)) != len(axes):
        raise ValueError(f"{op}: axis {axis} names an axis twice; name each axis once")
    return tuple(axes)


def as_tensor(op: str, name: str, value: Any) -> Tensor:
    """Return ``value`` as a tensor.

    Raises:
        TypeError: If it is not a tensor and cannot become one.
    """
    if isinstance(value, Tensor):
        return value
    try:
        return Tensor(value)
    except TypeError as error:
        raise TypeError(f"{op}: {name} is not a tensor or array: {error}") from error


def as_finite(op: str, name: str, value: Any) -> float:
    """Return ``value`` as a finite float.

    Raises:
        TypeError: If it is not a number.
        ValueError: If it is not finite.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{op}: {name} must be a number; got {value!r}") from None
    if not math.isfinite(number):
        raise ValueError(f"{op}: {name} is {value}; it must be finite")
    return number


def _short(values: Shape) -> str:
    return str(values[0]) if len(set(values)) == 1 else str(values)


def check_same_device(op: str, logits: Array, name: str, array: Array) -> None:
    """Raise ``TypeError`` unless ``array`` lies where the logits lie."""
    device = device_of(logits)
    if device_of(array) != device:
        raise TypeError(
            f"{op}: logits are on {device!r} but {name} on {device_of(array)!r}; all must be on "
            f'one device, so move {name} with .to("{device}")'
        )


def as_labels(op: str, labels: Any, logits: Array) -> Array:
    """Return ``labels`` as a contiguous int64 array that fits ``logits`` ``(N, *spatial, K)``.

    Raises:
        TypeError: If they are not integers, or lie on another device.
        ValueError: If the shapes do not fit, or there is nothing to compute a loss from.
    """
    array = labels.data if isinstance(labels, Tensor) else labels
    if not is_on_device(array):
        array = np.asarray(array)
    if array.dtype.kind not in "iub":
        raise TypeError(
            f"{op}: labels have dtype {array.dtype}; they must be integers, class numbers from 0: "
            f"convert them with .astype(np.int64)"
        )
    shape = logits.shape
    if len(shape) < 2 or array.shape != shape[:-1]:
        raise ValueError(
            f"{op}: logits have shape {shape} but labels have shape {array.shape}; logits "
            f"must be (N, *spatial, K) and labels (N, *spatial)"
        )
    if 0 in shape:
        raise ValueError(f"{op}: logits have shape {shape}; a loss of nothing is undefined")
    check_same_device(op, logits, "labels", array)
    if is_on_device(array):
        return array.astype(np.int64, order="C", copy=False)
    return np.ascontiguousarray(array, np.int64)


def as_class_weight(op: str, class_weight: Any, logits: Array) -> Array | None:
    """Return the weights of the ``K`` classes in the dtype of ``logits``, or ``None``.

    Raises:
        ValueError: If there are not ``K``, or one is negative or not finite.
    """
    if class_weight is None:
        return None
    weights = as_tensor(op, "class_weight", class_weight).data
    # A few numbers: they are looked at on the host and copied to where the logits are.
    weights = move(op, weights, "cpu").astype(logits.dtype)
    if weights.shape != logits.shape[-1:]:
        raise ValueError(
            f"{op}: class_weight has shape {weights.shape}, but logits have {logits.shape[-1]} "
            f"classes (shape {logits.shape}); class_weight must have shape {logits.shape[-1:]}"
        )
    if not (np.isfinite(weights).all() and weights.min() >= 0):
        raise ValueError(
            f"{op}: class_weight is {weights.tolist()}; weights must be finite and 0 or greater"
        )
    beside: Array = constant_beside(weights, logits)
    return beside

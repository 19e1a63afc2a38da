"""How far a float32 result may be from the exact one: bounds derived from what is computed.

One rounding has a relative error of at most u = 2^-24. A sum of n products, in whatever order, is
off by at most gamma_n * sum |a||b| with gamma_n as in ``rounding.py``. Where an op is a sum of
products (or quotients) of its inputs, sum |a||b| is what the reference gives for their absolute
values, and n what it gives for ones.

For the other ops the same calculus is done by hand to first order; a few roundings that do not grow
with the problem (scaling, division, one call of exp or log) are counted as EXTRA.

Every family takes a case, its arrays and the gradient of its output in float64, and returns bounds
for the output and for the gradient of every differentiable argument, in that order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

import loss_bounds
import norm_bounds
import winograd_bounds
import winograd_strided
from op_case import Arg, OpCase
from op_runs import evaluate
from rounding import Arrays, Bounds, U, gamma, softmax_parts


def _absolute(arrays: Arrays) -> Arrays:
    return [a if a is None or a.dtype.kind == "i" else np.abs(a) for a in arrays]


def _terms(case: OpCase, arrays: Arrays, grad: np.ndarray) -> list[np.ndarray]:
    """Return for each element of the output and of the gradients how many terms were added."""
    ones: Arrays = [None if a is None else np.ones_like(a) for a in arrays]
    return evaluate(case, "reference", ones, np.ones_like(grad))


def majorant(case: OpCase, arrays: Arrays, grad: np.ndarray) -> list[np.ndarray]:
    """Return what sums of products or quotients would be if all numbers were positive."""
    positive = replace(case, op="add") if case.op == "sub" else case
    return [np.abs(a) for a in evaluate(positive, "reference", _absolute(arrays), np.abs(grad))]


def monomial(case: OpCase, arrays: Arrays, grad: np.ndarray) -> Bounds:
    """Sums of products or quotients of the inputs: gamma_n times the same on absolute values."""
    sums = majorant(case, arrays, grad)
    terms = [case.terms] * len(sums) if case.terms else _terms(case, arrays, grad)
    return [gamma(n) * total for n, total in zip(terms, sums, strict=True)]


def convolution(case: OpCase, arrays: Arrays, grad: np.ndarray) -> Bounds:
    """A sum of products; where Winograd's algorithm may run, its error comes on top."""
    bounds = monomial(case, arrays, grad)
    if winograd_bounds.accepts(case):
        winograd = winograd_bounds.winograd_bounds(case, arrays, grad)
    elif winograd_strided.accepts(case):
        winograd = winograd_strided.winograd_bounds(case, arrays, grad)
    else:
        return bounds
    return [a + b for a, b in zip(bounds, winograd, strict=True)]


def joined_convolution(case: OpCase, arrays: Arrays, grad: np.ndarray) -> Bounds:
    """That of the joined image; the gradient of each part is a part of its gradient."""
    parts, parameters = arrays[: case.joined], arrays[case.joined :]
    image = np.concatenate(parts, axis=-1)
    plain = replace(case, args=(Arg(image.shape), *case.args[case.joined :]), joined=0)
    output, grad_image, *learned = convolution(plain, [image, *parameters], grad)
    cuts = np.cumsum([part.shape[-1] for part in parts])[:-1]
    return [output, *np.split(grad_image, cuts, axis=-1), *learned]


def selection(case: OpCase, arrays: Arrays, grad: np.ndarray) -> Bounds:
    """Outputs are inputs, without any error; gradients are gradients, or sums of several."""
    output, *grads = evaluate(case, "reference", arrays, np.abs(grad))
    error = gamma(case.terms) if case.terms > 1 else 0.0
    return [np.zeros_like(output), *(error * np.abs(g) for g in grads)]


def elementwise(case: OpCase, arrays: Arrays, grad: np.ndarray) -> Bounds:
    """A value of few roundings; the slope is a sum of terms of at most its size or 1.

    A slope such as 1 - y * y cancels, and y carries an error of its own, hence the 1.
    """
    output, *grads = evaluate(case, "reference", arrays, np.abs(grad))
    return [gamma(0) * np.abs(output), *(gamma(0) * (np.abs(g) + np.abs(grad)) for g in grads)]


def interpolate(case: OpCase, arrays: Arrays, grad: np.ndarray) -> Bounds:
    """As a sum of products, plus the error of the weights.

    A position in an input of extent S takes four roundings of numbers up to S, so each of the two
    weights along an axis is off by at most ``4 S u``; a voxel's gradient collects at most
    2 out / in + 3 terms along it.
    """
    bounds = monomial(case, arrays, grad)
    if case.params["mode"] == "nearest":
        return bounds
    extents = list(zip(arrays[0].shape[1:-1], grad.shape[1:-1], strict=True))
    weight_error = sum(2 * 4 * size * U for size, _ in extents)
    collected = np.prod([2 * out / size + 3 for size, out in extents])
    bounds[0] = bounds[0] + weight_error * np.abs(arrays[0]).max()
    bounds[1] = bounds[1] + weight_error * collected * np.abs(grad).max()
    return bounds


def resample(case: OpCase, arrays: Arrays, grad: np.ndarray) -> Bounds:
    """A sum of products with weights of either sign, at most 1 each.

    Along an axis an output has 4 taps, times in / out where antialiasing widens the kernel; their
    absolute values add up to at most 1.5 (the cubic kernel halfway between two elements has 1.375).
    An input collects the gradient of at most as many outputs as see it. Weights are rounded once.
    """
    extents = list(zip(arrays[0].shape[1:-1], grad.shape[1:-1], strict=True))
    taps = np.prod([4 * max(1.0, size / out) + 2 for size, out in extents])
    seen = np.prod([4 * max(1.0, out / size) + 2 for size, out in extents])
    total = 1.5 ** len(extents)
    output = gamma(int(taps) + len(extents)) * total * np.abs(arrays[0]).max()
    gradient = gamma(int(seen) + len(extents)) * seen * np.abs(grad).max()
    return [np.full(grad.shape, output), np.full(arrays[0].shape, gradient)]


def prelu(case: OpCase, arrays: Arrays, grad: np.ndarray) -> Bounds:
    """Each output is one product; the slope's gradient is a sum of products."""
    slopes = np.abs(arrays[1])
    output, grad_input, grad_slope = evaluate(case, "reference", [arrays[0], slopes], np.abs(grad))
    return [
        gamma(0) * np.abs(output),
        gamma(0) * grad_input,
        gamma(case.terms) * np.abs(grad_slope),
    ]


def softmax(case: OpCase, arrays: Arrays, grad: np.ndarray) -> Bounds:
    """y (g - sum g y): the errors of y count twice, those of the sum once."""
    axis = case.params.get("axis", -1)
    y, relative = softmax_parts(arrays[0], axis)
    spread = np.abs(grad) + (np.abs(grad) * y).sum(axis=axis, keepdims=True)
    total = relative.max(axis=axis, keepdims=True)
    return [relative * y, 3.0 * (relative + total) * y * spread]


def log_softmax(case: OpCase, arrays: Arrays, grad: np.ndarray) -> Bounds:
    """g - exp(y) sum g: an absolute error of y is a relative one of exp(y)."""
    axis = case.params.get("axis", -1)
    y, relative = softmax_parts(arrays[0], axis)
    total = np.abs(grad).sum(axis=axis, keepdims=True)
    return [relative, 2.0 * relative * (np.abs(grad) + y * total)]


FAMILIES: dict[str, Callable[[OpCase, Arrays, np.ndarray], Bounds]] = {
    "monomial": monomial,
    "convolution": convolution,
    "joined_convolution": joined_convolution,
    "selection": selection,
    "elementwise": elementwise,
    "interpolate": interpolate,
    "resample": resample,
    "prelu": prelu,
    "softmax": softmax,
    "log_softmax": log_softmax,
    "batch_norm": norm_bounds.batch_norm,
    "group_norm": norm_bounds.group_norm,
    "layer_norm": norm_bounds.layer_norm,
    "cross_entropy": loss_bounds.cross_entropy,
    "focal": loss_bounds.focal,
    "bce": loss_bounds.binary_cross_entropy,
    "dice": loss_bounds.dice,
    "dice_ce": loss_bounds.dice_and_cross_entropy,
    "distance": loss_bounds.distance,
}


def bounds_of(case: OpCase, arrays: Arrays, grad: np.ndarray) -> Bounds:
    """Return the largest errors allowed in the output and the gradients of ``case``."""
    return FAMILIES[case.family](case, arrays, grad)

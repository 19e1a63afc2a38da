"""ONNX's optimizer operators on voxelgrad's optimizer steps, for the standard test runner.

They stand in a preview domain of ONNX and describe one step on arrays. Momentum and Adam run on the
native kernels; Adagrad, which voxelgrad does not offer, is written out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.backend.base import BackendRep

from voxelgrad.backends import backend_of

DOMAIN = "ai.onnx.preview.training"
Array = NDArray[Any]
Step = Callable[[dict[str, Any], float, int, list[list[Array]]], list[list[Array]]]


def _regularised(
    attributes: dict[str, Any], gradients: list[Array], xs: list[Array]
) -> list[Array]:
    weight = attributes.get("norm_coefficient", 0.0)
    return [(g + weight * x).astype(x.dtype) for g, x in zip(gradients, xs, strict=True)]


def _momentum(
    attributes: dict[str, Any], rate: float, count: int, arrays: list[list[Array]]
) -> list[list[Array]]:
    """X, gradient and velocity to new X and velocity; the first step has no dampening."""
    xs, gradients, velocities = arrays
    alpha, beta = attributes["alpha"], attributes["beta"] if count > 0 else 1.0
    gradients = _regularised(attributes, gradients, xs)
    if beta == 1.0:
        nesterov = attributes["mode"] == b"nesterov"
        backend_of(xs[0]).sgd_step(xs, gradients, velocities, rate, alpha, nesterov, 0.0)
        return [xs, velocities]
    dampened = [(beta * g).astype(g.dtype) for g in gradients]
    if attributes["mode"] == b"standard":
        backend_of(xs[0]).sgd_step(xs, dampened, velocities, rate, alpha, False, 0.0)
        return [xs, velocities]
    for x, gradient, velocity, small in zip(xs, gradients, velocities, dampened, strict=True):
        velocity[...] = alpha * velocity + small
        x -= (rate * (gradient + alpha * velocity)).astype(x.dtype)
    return [xs, velocities]


def _adam(
    attributes: dict[str, Any], rate: float, count: int, arrays: list[list[Array]]
) -> list[list[Array]]:
    """X, gradient and two moments to new X and moments.

    ONNX adds epsilon to the root of the uncorrected second moment; our step adds it to that of the
    corrected one, so it is given the epsilon that makes both the same.
    """
    xs, gradients, means, squares = arrays
    alpha, beta = attributes.get("alpha", 0.9), attributes.get("beta", 0.999)
    gradients = _regularised(attributes, gradients, xs)
    correction = (1.0 - beta**count, 1.0 - alpha**count) if count > 0 else (1.0, 1.0)
    epsilon = attributes.get("epsilon", 1e-6) / float(np.sqrt(correction[0]))
    if count > 0:
        step = count
        backend_of(xs[0]).adam_step(
            xs, gradients, means, squares, rate, alpha, beta, epsilon, 0.0, False, step
        )
    else:
        for x, g, m, v in zip(xs, gradients, means, squares, strict=True):
            m[...] = alpha * m + (1.0 - alpha) * g
            v[...] = beta * v + (1.0 - beta) * g * g
            x -= (rate * m / (np.sqrt(v) + epsilon)).astype(x.dtype)
    shrink = attributes.get("norm_coefficient_post", 0.0)
    for x in xs:
        x *= 1.0 - shrink
    return [xs, means, squares]


def _adagrad(
    attributes: dict[str, Any], rate: float, count: int, arrays: list[list[Array]]
) -> list[list[Array]]:
    """X, gradient and sum of squares to new X and sum."""
    xs, gradients, sums = arrays
    rate = rate / (1.0 + count * attributes.get("decay_factor", 0.0))
    gradients = _regularised(attributes, gradients, xs)
    for x, gradient, total in zip(xs, gradients, sums, strict=True):
        total += gradient * gradient
        x -= (rate * gradient / (np.sqrt(total) + attributes.get("epsilon", 1e-6))).astype(x.dtype)
    return [xs, sums]


_STEPS: dict[str, tuple[Step, int]] = {
    "Adagrad": (_adagrad, 3),
    "Adam": (_adam, 4),
    "Momentum": (_momentum, 3),
}
"""Operator -> its step, and how many arrays belong to each parameter."""


def is_training(model: Any) -> bool:
    """Return whether a model is one step of an optimizer."""
    return any(node.domain == DOMAIN for node in model.graph.node)


class PreparedStep(BackendRep):
    """One step of an optimizer on numpy arrays."""

    def __init__(self, model: Any) -> None:
        (node,) = model.graph.node
        if node.op_type not in _STEPS:
            raise ValueError(f"{node.op_type} is no optimizer that is understood")
        self.step, self.kinds = _STEPS[node.op_type]
        self.attributes = {
            entry.name: onnx.helper.get_attribute_value(entry) for entry in node.attribute
        }

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Return the new arrays, all parameters first."""
        rate, count, *flat = [np.array(item, order="C") for item in inputs]
        size = len(flat) // self.kinds
        groups = [flat[i * size : (i + 1) * size] for i in range(self.kinds)]
        results = self.step(self.attributes, float(rate), int(count), groups)
        return tuple(array for group in results for array in group)

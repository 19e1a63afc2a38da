"""The passes of a kernel case on voxelgrad's native kernels, results preallocated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from voxelgrad.bench.cases import Case
from voxelgrad.dtypes import as_dtype

Passes = dict[str, Callable[[], object]]


def prepare_kernel(case: Case, settings: Mapping[str, Any]) -> Passes:
    """Return a function for each pass of ``case``.

    Args:
        case: The layer.
        settings: ``algorithm`` forces a convolution algorithm by name; ``dtype`` of the images.
    """
    from voxelgrad.backends import cpu

    cpu.set_conv_algorithm(settings.get("algorithm") or "")
    rng = np.random.default_rng(0)
    dtype = as_dtype("bench", settings.get("dtype", "float32"))
    x = rng.standard_normal(case.input_shape, dtype=np.float32).astype(dtype)
    g = rng.standard_normal(case.output_shape, dtype=np.float32).astype(dtype)
    y, grad_x = cpu.empty(g.shape, dtype), cpu.empty(x.shape, dtype)
    if case.weight_shape:
        weight = rng.standard_normal(case.weight_shape, dtype=np.float32)
        return _convolution(cpu, case, x, weight, g, y, grad_x)
    return _LAYERS[case.op](cpu, case, x, g, y, grad_x)


def _convolution(cpu: Any, case: Case, x: Any, weight: Any, g: Any, y: Any, grad_x: Any) -> Passes:
    grad_weight = cpu.empty(weight.shape)
    settings: tuple[Any, ...] = ()
    if case.op != "linear":
        axes = len(case.size)
        settings = ((case.stride,) * axes, (case.padding,) * axes, (1,) * axes, case.groups)
    forward = getattr(cpu, f"{case.op}_forward")
    backward_data = getattr(cpu, f"{case.op}_backward_data")
    backward_weight = getattr(cpu, f"{case.op}_backward_weight")
    return {
        "forward": lambda: forward(x, weight, None, y, *settings, 1.0),
        "backward data": lambda: backward_data(g, weight, grad_x, *settings),
        "backward weight": lambda: backward_weight(g, x, grad_weight, None, *settings),
    }


def _max_pool(cpu: Any, case: Case, x: Any, g: Any, y: Any, grad_x: Any) -> Passes:
    indices = cpu.empty(y.shape, np.uint8)
    two, none = (2,) * len(case.size), (0,) * len(case.size)
    return {
        "forward": lambda: cpu.max_pool_forward(x, y, indices, two, two, none),
        "backward": lambda: cpu.max_pool_backward(g, indices, grad_x, two, two, none),
    }


def _avg_pool(cpu: Any, case: Case, x: Any, g: Any, y: Any, grad_x: Any) -> Passes:
    two, none = (2,) * len(case.size), (0,) * len(case.size)
    return {
        "forward": lambda: cpu.avg_pool_forward(x, y, two, two, none, True),
        "backward": lambda: cpu.avg_pool_backward(g, grad_x, two, two, none, True),
    }


def _batch_norm(cpu: Any, case: Case, x: Any, g: Any, y: Any, grad_x: Any) -> Passes:
    scale, shift, mean, invstd, grad_scale, grad_shift = np.ones((6, case.channels), np.float32)
    return {
        "forward": lambda: cpu.batch_norm_forward(
            x, scale, shift, y, mean, invstd, 1e-5, "identity", 0.0
        ),
        "backward": lambda: cpu.batch_norm_backward(
            g,
            x,
            scale,
            shift,
            mean,
            invstd,
            grad_x,
            grad_scale,
            grad_shift,
            True,
            "identity",
            0.0,
        ),
    }


def _instance_norm(cpu: Any, case: Case, x: Any, g: Any, y: Any, grad_x: Any) -> Passes:
    scale, shift, grad_scale, grad_shift = np.ones((4, case.channels), np.float32)
    mean, invstd = np.ones((2, case.batch, case.channels), np.float32)
    return {
        "forward": lambda: cpu.group_norm_forward(
            x, scale, shift, y, mean, invstd, 1e-5, "identity", 0.0
        ),
        "backward": lambda: cpu.group_norm_backward(
            g, x, scale, shift, mean, invstd, grad_x, grad_scale, grad_shift, "identity", 0.0
        ),
    }


def _relu(cpu: Any, case: Case, x: Any, g: Any, y: Any, grad_x: Any) -> Passes:
    return {
        "forward": lambda: cpu.activation_forward("relu", x, y, 0.0),
        "backward": lambda: cpu.activation_backward("relu", g, x, grad_x, 0.0),
    }


def _add(cpu: Any, case: Case, x: Any, g: Any, y: Any, grad_x: Any) -> Passes:
    return {"forward": lambda: cpu.binary_forward("add", x, g, y)}


def _concat(cpu: Any, case: Case, x: Any, g: Any, y: Any, grad_x: Any) -> Passes:
    other, grad_other = x.copy(), cpu.empty(x.shape, x.dtype)
    axis = x.ndim - 1
    return {
        "forward": lambda: cpu.concat([x, other], y, axis),
        "backward": lambda: cpu.split(g, [grad_x, grad_other], axis),
    }


def _interpolate(cpu: Any, case: Case, x: Any, g: Any, y: Any, grad_x: Any) -> Passes:
    return {
        "forward": lambda: cpu.interpolate_forward(x, y, "linear", False),
        "backward": lambda: cpu.interpolate_backward(g, grad_x, "linear", False),
    }


_LAYERS: dict[str, Callable[[Any, Case, Any, Any, Any, Any], Passes]] = {
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
    "batch_norm": _batch_norm,
    "instance_norm": _instance_norm,
    "relu": _relu,
    "add": _add,
    "concat": _concat,
    "interpolate": _interpolate,
}

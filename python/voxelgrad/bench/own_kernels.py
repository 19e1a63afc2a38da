"""The passes of a kernel case on voxelgrad's native kernels, results preallocated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from voxelgrad import backends
from voxelgrad.bench.cases import Case
from voxelgrad.dtypes import as_dtype

Passes = dict[str, Callable[[], object]]


def prepare_kernel(case: Case, settings: Mapping[str, Any]) -> Passes:
    """Return a function for each pass of ``case``.

    Args:
        case: The layer.
        settings: ``device`` cpu or cuda; ``algorithm`` forces a convolution algorithm of the CPU by
            name; ``dtype`` of the images.
    """
    device = settings.get("device", "cpu")
    backends.load("cpu").set_conv_algorithm(settings.get("algorithm") or "")
    engine = backends.load(device)
    rng = np.random.default_rng(0)
    dtype = as_dtype("bench", settings.get("dtype", "float32"))

    def drawn(shape: tuple[int, ...], kind: Any) -> Any:
        array = rng.standard_normal(shape, dtype=np.float32).astype(kind)
        return backends.move("bench", array, device)

    x, g = drawn(case.input_shape, dtype), drawn(case.output_shape, dtype)
    y, grad_x = engine.empty(g.shape, dtype), engine.empty(x.shape, dtype)
    if case.weight_shape:
        weight = drawn(case.weight_shape, np.float32)
        return _convolution(engine, case, x, weight, g, y, grad_x)
    return _LAYERS[case.op](engine, case, x, g, y, grad_x)


def _convolution(
    engine: Any, case: Case, x: Any, weight: Any, g: Any, y: Any, grad_x: Any
) -> Passes:
    grad_weight = engine.empty(weight.shape)
    settings: tuple[Any, ...] = ()
    if case.op != "linear":
        axes = len(case.size)
        settings = ((case.stride,) * axes, (case.padding,) * axes, (1,) * axes, case.groups)
    forward = getattr(engine, f"{case.op}_forward")
    backward_data = getattr(engine, f"{case.op}_backward_data")
    backward_weight = getattr(engine, f"{case.op}_backward_weight")
    return {
        "forward": lambda: forward(x, weight, None, y, *settings, 1.0),
        "backward data": lambda: backward_data(g, weight, grad_x, *settings),
        "backward weight": lambda: backward_weight(g, x, grad_weight, None, *settings),
    }


def _max_pool(engine: Any, case: Case, x: Any, g: Any, y: Any, grad_x: Any) -> Passes:
    indices = engine.empty(y.shape, np.uint8)
    two, none = (2,) * len(case.size), (0,) * len(case.size)
    return {
        "forward": lambda: engine.max_pool_forward(x, y, indices, two, two, none),
        "backward": lambda: engine.max_pool_backward(g, indices, grad_x, two, two, none),
    }


def _avg_pool(engine: Any, case: Case, x: Any, g: Any, y: Any, grad_x: Any) -> Passes:
    two, none = (2,) * len(case.size), (0,) * len(case.size)
    return {
        "forward": lambda: engine.avg_pool_forward(x, y, two, two, none, True),
        "backward": lambda: engine.avg_pool_backward(g, grad_x, two, two, none, True),
    }


def _batch_norm(engine: Any, case: Case, x: Any, g: Any, y: Any, grad_x: Any) -> Passes:
    scale, shift, mean, invstd, grad_scale, grad_shift = _ones(engine, 6, (case.channels,))
    return {
        "forward": lambda: engine.batch_norm_forward(
            x, scale, shift, y, mean, invstd, 1e-5, "identity", 0.0
        ),
        "backward": lambda: engine.batch_norm_backward(
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


def _instance_norm(engine: Any, case: Case, x: Any, g: Any, y: Any, grad_x: Any) -> Passes:
    scale, shift, grad_scale, grad_shift = _ones(engine, 4, (case.channels,))
    mean, invstd = _ones(engine, 2, (case.batch, case.channels))
    return {
        "forward": lambda: engine.group_norm_forward(
            x, scale, shift, y, mean, invstd, 1e-5, "identity", 0.0
        ),
        "backward": lambda: engine.group_norm_backward(
            g, x, scale, shift, mean, invstd, grad_x, grad_scale, grad_shift, "identity", 0.0
        ),
    }


def _ones(engine: Any, count: int, shape: tuple[int, ...]) -> list[Any]:
    arrays = [engine.empty(shape) for _ in range(count)]
    for array in arrays:
        array.fill(1.0)
    return arrays


def _relu(engine: Any, case: Case, x: Any, g: Any, y: Any, grad_x: Any) -> Passes:
    return {
        "forward": lambda: engine.activation_forward("relu", x, y, 0.0),
        "backward": lambda: engine.activation_backward("relu", g, x, grad_x, 0.0),
    }


def _add(engine: Any, case: Case, x: Any, g: Any, y: Any, grad_x: Any) -> Passes:
    return {"forward": lambda: engine.binary_forward("add", x, g, y)}


def _concat(engine: Any, case: Case, x: Any, g: Any, y: Any, grad_x: Any) -> Passes:
    other, grad_other = x.copy(), engine.empty(x.shape, x.dtype)
    axis = x.ndim - 1
    return {
        "forward": lambda: engine.concat([x, other], y, axis),
        "backward": lambda: engine.split(g, [grad_x, grad_other], axis),
    }


def _interpolate(engine: Any, case: Case, x: Any, g: Any, y: Any, grad_x: Any) -> Passes:
    return {
        "forward": lambda: engine.interpolate_forward(x, y, "linear", False),
        "backward": lambda: engine.interpolate_backward(g, grad_x, "linear", False),
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

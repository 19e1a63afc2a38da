"""The passes of a kernel case in PyTorch, backward through its autograd."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.nn import functional as F

from voxelgrad.bench.cases import Case

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
LAYOUTS = {4: torch.channels_last, 5: torch.channels_last_3d}


def prepare_kernel(case: Case, settings: Mapping[str, Any]) -> dict[str, Callable[[], object]]:
    """Return a function for each pass of ``case``.

    Args:
        case: The layer.
        settings: ``threads``; ``layout`` nchw or channels_last; ``dtype``; ``device`` cpu or cuda.
    """
    torch.set_default_dtype(DTYPES[settings.get("dtype", "float32")])
    torch.set_num_threads(settings["threads"])
    torch.manual_seed(0)
    with torch.device(settings.get("device", "cpu")):
        x = in_layout(_first(torch.randn(case.input_shape)), settings).requires_grad_()
        function, others = _function(case, settings)
        y = function(x)
        g = in_layout(torch.randn(y.shape), settings)

    def gradient(wanted: Any) -> Callable[[], object]:
        return lambda: torch.autograd.grad(y, wanted, g, retain_graph=True)

    if case.weight_shape:
        return {
            "forward": lambda: function(x),
            "backward data": gradient(x),
            "backward weight": gradient(others),
        }
    passes: dict[str, Callable[[], object]] = {"forward": lambda: function(x)}
    return passes if case.op == "add" else {**passes, "backward": gradient((x, *others))}


def in_layout(tensor: Any, settings: Mapping[str, Any]) -> Any:
    """Return a tensor (N, C, *spatial) in the layout that ``settings`` ask for."""
    layout = LAYOUTS.get(tensor.ndim)
    if settings.get("layout") == "channels_last" and layout is not None:
        return tensor.contiguous(memory_format=layout)
    return tensor.contiguous()


def _first(tensor: Any) -> Any:
    """(N, *spatial, C) as (N, C, *spatial)."""
    return tensor.movedim(-1, 1)


def _function(
    case: Case, settings: Mapping[str, Any]
) -> tuple[Callable[[Any], Any], tuple[Any, ...]]:
    """Return the layer, and what gets a gradient beside its input."""
    axes = len(case.size)
    if case.op == "linear":
        weight = torch.randn(case.weight_shape, requires_grad=True)
        return (lambda x: F.linear(x, weight)), (weight,)
    if case.op in ("conv", "conv_transpose"):
        weight = _first(torch.randn(case.weight_shape))
        if case.op == "conv_transpose":
            weight = weight.transpose(0, 1)
        weight = in_layout(weight, settings).requires_grad_()
        function = getattr(F, f"{case.op}{axes}d")
        options = {"stride": case.stride, "padding": case.padding, "groups": case.groups}
        return (lambda x: function(x, weight, **options)), (weight,)
    if case.op in ("max_pool", "avg_pool"):
        pool = getattr(F, f"{case.op}{axes}d")
        return (lambda x: pool(x, 2)), ()
    if case.op in ("batch_norm", "instance_norm"):
        scale, shift = (torch.ones(case.channels, requires_grad=True) for _ in range(2))
        norm = F.batch_norm if case.op == "batch_norm" else F.instance_norm
        last = {"training": True} if case.op == "batch_norm" else {"use_input_stats": True}
        return (lambda x: norm(x, None, None, scale, shift, **last)), (scale, shift)
    if case.op == "interpolate":
        mode = ("linear", "bilinear", "trilinear")[axes - 1]
        return (lambda x: F.interpolate(x, scale_factor=2, mode=mode)), ()
    other = in_layout(_first(torch.randn(case.input_shape)), settings)
    if case.op == "add":
        return (lambda x: x + other), ()
    if case.op == "concat":
        other.requires_grad_()
        return (lambda x: torch.cat([x, other], 1)), (other,)
    return torch.relu, ()

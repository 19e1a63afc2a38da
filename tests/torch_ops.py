"""Every op written with PyTorch: called as ours, on tensors laid out as ours, channels last."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from op_case import OpCase

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch = pytest.importorskip("torch", reason="compares with PyTorch, which is not installed")
F = torch.nn.functional

Tensor = Any
Op = Callable[..., Tensor]
Pairs = Sequence[tuple[int, int]]

NOT_IN_TORCH = {
    "dropout": "its mask comes from a generator of our own",
    "cast": "has no op case: it changes the number format, which test_precision.py compares",
    "resample": "has no op case of its own: cubic and antialiased interpolation runs on it",
    "to_device": "has no op case: test_cuda_backend.py goes there and back",
}


def first(t: Tensor) -> Tensor:
    """Channels last to channels first."""
    return torch.movedim(t, -1, 1)


def last(t: Tensor) -> Tensor:
    """Channels first to channels last."""
    return torch.movedim(t, 1, -1)


def _tuple(value: Any, rank: int) -> tuple[Any, ...]:
    return (value,) * rank if isinstance(value, (int, float)) else tuple(value)


def _pairs(padding: Any, rank: int) -> Pairs:
    return [(p, p) if isinstance(p, int) else p for p in _tuple(padding, rank)]


def _pad_spatial(t: Tensor, pairs: Pairs, value: float = 0.0) -> Tensor:
    """Pad the spatial axes of (N, C, *spatial)."""
    flat = [width for pair in reversed(pairs) for width in pair]  # PyTorch begins at the last axis
    return F.pad(t, flat, value=value)


def _conv(rank: int) -> Op:
    function = getattr(F, f"conv{rank}d")

    def conv(input: Any, weight: Tensor, bias: Tensor, padding: Any = 0, **more: Any) -> Tensor:
        image = torch.cat(input, -1) if isinstance(input, list) else input
        padded = _pad_spatial(first(image), _pairs(padding, rank))
        return last(function(padded, first(weight), bias, **more))

    return conv


def _conv_transpose(rank: int) -> Op:
    """PyTorch's weight is (in, out // groups, *kernel)."""
    function = getattr(F, f"conv_transpose{rank}d")

    def conv(input: Tensor, weight: Tensor, bias: Tensor, groups: int = 1, **more: Any) -> Tensor:
        blocks = weight.reshape(groups, -1, *weight.shape[1:])  # G, out / G, *kernel, in / G
        blocks = torch.movedim(blocks, -1, 1)  # G, in / G, out / G, *kernel
        return last(function(first(input), blocks.flatten(0, 1), bias, groups=groups, **more))

    return conv


def _max_pool(rank: int) -> Op:
    function = getattr(F, f"max_pool{rank}d")

    def pool(input: Tensor, padding: Any = 0, **more: Any) -> Tensor:
        pairs = _pairs(padding, rank)
        image = first(input)
        if any(before != after for before, after in pairs):
            image, padding = _pad_spatial(image, pairs, -torch.inf), 0
        return last(function(image, padding=padding, **more))

    return pool


def _avg_pool(rank: int) -> Op:
    function = getattr(F, f"avg_pool{rank}d")

    def pool(input: Tensor, padding: Any = 0, dilation: int = 1, **more: Any) -> Tensor:
        pairs = _pairs(padding, rank)
        if dilation == 1 and all(before == after for before, after in pairs):
            return last(function(first(input), padding=padding, **more))
        return last(_window_means(first(input), pairs, dilation, **more))

    return pool


def _window_means(
    image: Tensor,
    pairs: Pairs,
    dilation: int,
    kernel_size: int,
    stride: int,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """Divide the sums over windows by how many elements count, both by convolution."""
    rank = len(pairs)
    reach = dilation * (kernel_size - 1) + 1
    beyond = []
    for n, (before, after) in zip(image.shape[2:], pairs, strict=True):
        spare = (reach - before - n - after) % stride if ceil_mode else 0
        begins = before + n + after + spare - reach  # where the last window does
        beyond.append((0, spare if begins < before + n else 0))
    counted = torch.ones_like(image[:, :1])
    if count_include_pad:
        counted = _pad_spatial(_pad_spatial(counted, pairs, 1.0), beyond)
    else:
        counted = _pad_spatial(_pad_spatial(counted, pairs), beyond)
    ones = image.new_ones(1, 1, *(kernel_size,) * rank)
    conv = getattr(F, f"conv{rank}d")
    padded = _pad_spatial(_pad_spatial(image, pairs), beyond)
    alone = padded.flatten(0, 1)[:, None]
    sums = conv(alone, ones, stride=stride, dilation=dilation)
    counts = conv(counted, ones, stride=stride, dilation=dilation).clamp(min=1)
    return sums.unflatten(0, image.shape[:2])[:, :, 0] / counts


def _adaptive_avg_pool(rank: int) -> Op:
    function = getattr(F, f"adaptive_avg_pool{rank}d")
    return lambda input, output_size: last(function(first(input), _tuple(output_size, rank)))


def _over_positions(reduce: Callable[..., Tensor]) -> Op:
    return lambda input: reduce(input, tuple(range(1, input.ndim - 1)))


def _activated(t: Tensor, activation: str | None, negative_slope: float) -> Tensor:
    if activation is None:
        return t
    return F.relu(t) if activation == "relu" else F.leaky_relu(t, negative_slope)


def _with_activation(norm: Op) -> Op:
    def run(
        *args: Any, activation: str | None = None, negative_slope: float = 0.01, **more: Any
    ) -> Tensor:
        return _activated(norm(*args, **more), activation, negative_slope)

    return run


def _batch_norm(
    input: Tensor, mean: Tensor, var: Tensor, weight: Tensor, bias: Tensor, training: bool
) -> Tensor:
    return last(F.batch_norm(first(input), mean, var, weight, bias, training=training))


def _instance_norm(input: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    output = F.instance_norm(first(input), weight=weight, bias=bias)
    # PyTorch 2.13 misreads the gradient of a single image whose channels come last.
    output.register_hook(torch.Tensor.contiguous)
    return last(output)


def _group_norm(
    input: Tensor, num_groups: int, weight: Tensor = None, bias: Tensor = None
) -> Tensor:
    return last(F.group_norm(first(input), num_groups, weight, bias))


def _layer_norm(
    input: Tensor, normalized_shape: Any, weight: Tensor = None, bias: Tensor = None
) -> Tensor:
    return F.layer_norm(input, normalized_shape, weight, bias)


def _prelu(input: Tensor, slope: Tensor) -> Tensor:
    return last(F.prelu(first(input), slope)) if slope.ndim else F.prelu(input, slope.reshape(1))


def _clip(input: Tensor, low: float, high: float) -> Tensor:
    return torch.clamp(input, low, high)


def _sum(input: Tensor, axis: Any, keepdims: bool) -> Tensor:
    return torch.sum(input, axis, keepdim=keepdims)


def _mean(input: Tensor, axis: Any, keepdims: bool) -> Tensor:
    return torch.mean(input, axis, keepdim=keepdims)


def _pad(input: Tensor, pad_width: Pairs, mode: str) -> Tensor:
    for axis, pair in enumerate(pad_width):
        input = _pad_axis(input, axis, pair, mode) if any(pair) else input
    return input


def _pad_axis(input: Tensor, axis: int, pair: tuple[int, int], mode: str) -> Tensor:
    length = input.shape[axis]
    if mode == "wrap":  # PyTorch goes round once at the most
        return input.index_select(axis, torch.arange(-pair[0], length + pair[1]) % length)
    rows = torch.movedim(input, axis, -1)
    name = {"edge": "replicate"}.get(mode, mode)
    padded = F.pad(rows.reshape(1, -1, length), pair, mode=name)
    return torch.movedim(padded.reshape(*rows.shape[:-1], -1), -1, axis)


def _crop(input: Tensor, start: Sequence[int], size: Sequence[int]) -> Tensor:
    return input[tuple(slice(s, s + n) for s, n in zip(start, size, strict=True))]


def _interpolate(
    input: Tensor,
    mode: str,
    size: Any = None,
    scale_factor: float | None = None,
    align_corners: bool = False,
    antialias: bool = False,
) -> Tensor:
    rank = input.ndim - 2
    if size is None:
        size = [int(n * scale_factor) for n in input.shape[1:-1]]
    if mode == "nearest":
        return last(F.interpolate(first(input), tuple(size)))
    if (mode == "cubic" or antialias) and rank != 2:
        for axis, out in enumerate(size, start=1):
            input = _resize_axis(input, axis, out, f"bi{mode}", align_corners, antialias)
        return input
    name = {1: "linear", 2: f"bi{mode}", 3: "trilinear"}[rank]
    image = first(input)
    return last(F.interpolate(image, tuple(size), None, name, align_corners, antialias=antialias))


def _resize_axis(input: Tensor, axis: int, out: int, *settings: Any) -> Tensor:
    """Resize one axis as the width of images of one row: PyTorch has these modes in 2D only."""
    mode, corners, antialias = settings
    rows = torch.movedim(input, axis, -1)
    image = rows.reshape(1, -1, 1, rows.shape[-1])
    resized = F.interpolate(image, (1, out), None, mode, corners, antialias=antialias)
    return torch.movedim(resized.reshape(*rows.shape[:-1], out), -1, axis)


def _cross_entropy(
    logits: Tensor, labels: Tensor, class_weight: Tensor = None, ignore_index: int = -100
) -> Tensor:
    return F.cross_entropy(first(logits), labels, class_weight, ignore_index=ignore_index)


def _focal(logits: Tensor, labels: Tensor, gamma: float) -> Tensor:
    counted = labels != -100
    log_p = torch.log_softmax(logits, -1).gather(-1, labels.clamp(min=0)[..., None])[..., 0]
    terms = -((1 - log_p.exp()) ** gamma) * log_p
    return terms[counted].mean()


def _dice(
    logits: Tensor,
    labels: Tensor,
    include_background: bool = True,
    batch: bool = True,
    smooth: float = 1e-5,
) -> Tensor:
    counted = (labels != -100)[..., None]
    p = torch.softmax(logits, -1) * counted
    y = F.one_hot(labels.clamp(min=0), logits.shape[-1]) * counted
    axes = tuple(range(0 if batch else 1, labels.ndim))
    over = (p * y).sum(axes), p.sum(axes) + y.sum(axes)
    if not axes:  # PyTorch sums over all where none is named
        over = p * y, p + y
    dice = (2 * over[0] + smooth) / (over[1] + smooth)
    return 1 - dice[..., 0 if include_background else 1 :].mean()


def _binary_cross_entropy(logits: Tensor, targets: Tensor, pos_weight: float) -> Tensor:
    weight = logits.new_tensor(pos_weight)
    return F.binary_cross_entropy_with_logits(logits, targets, pos_weight=weight)


def _by_rank(name: str, make: Callable[[int], Op]) -> dict[str, Op]:
    return {f"{name}{rank}d": make(rank) for rank in (1, 2, 3)}


TORCH: dict[str, Op] = {
    **_by_rank("conv", _conv),
    **_by_rank("conv_transpose", _conv_transpose),
    **_by_rank("max_pool", _max_pool),
    **_by_rank("avg_pool", _avg_pool),
    **_by_rank("adaptive_avg_pool", _adaptive_avg_pool),
    "global_avg_pool": _over_positions(torch.mean),
    "global_max_pool": _over_positions(torch.amax),
    "batch_norm": _with_activation(_batch_norm),
    "instance_norm": _with_activation(_instance_norm),
    "group_norm": _with_activation(_group_norm),
    "layer_norm": _with_activation(_layer_norm),
    **{n: getattr(F, n) for n in ("relu", "leaky_relu", "elu", "softplus", "mse_loss", "l1_loss")},
    **{n: getattr(torch, n) for n in ("sigmoid", "tanh", "exp", "log", "sqrt", "abs", "square")},
    **{n: getattr(torch, n) for n in ("add", "sub", "mul", "div", "matmul")},
    "prelu": _prelu,
    "clip": _clip,
    "sum": _sum,
    "mean": _mean,
    "softmax": lambda input, axis=-1: torch.softmax(input, axis),
    "log_softmax": lambda input, axis=-1: torch.log_softmax(input, axis),
    "linear": F.linear,
    "concat": torch.cat,
    "pad": _pad,
    "crop": _crop,
    "getitem": lambda input, key: input[key],
    "reshape": lambda input, *shape: input.reshape(shape),
    "transpose": lambda input, *axes: input.permute(axes),
    "interpolate": _interpolate,
    "cross_entropy": _cross_entropy,
    "focal_loss": _focal,
    "dice_loss": _dice,
    "dice_ce_loss": lambda logits, labels: _dice(logits, labels) + _cross_entropy(logits, labels),
    "binary_cross_entropy_with_logits": _binary_cross_entropy,
}


def evaluate_with_torch(case: OpCase, arrays: list, grad: Any) -> list:
    """Return the output of ``case`` and the gradients of its differentiable arguments, as arrays.

    They have the dtype of ``grad``.
    """
    values = [None if a is None else torch.from_numpy(np.array(a)) for a in arrays]
    leaves = [
        value.requires_grad_()
        for arg, value in zip(case.args, values, strict=True)
        if arg is not None and not arg.is_constant
    ]
    positional = values[: len(values) - len(case.keywords)]
    named = dict(zip(case.keywords, values[len(positional) :], strict=True))
    count = len(positional) if case.listed else case.joined
    given = [positional[:count], *positional[count:]] if count else positional
    output = TORCH[case.op](*given, *case.settings, **named, **case.params)
    output.backward(torch.from_numpy(np.asarray(grad)))
    return [output.detach().numpy(), *(leaf.grad.numpy() for leaf in leaves)]

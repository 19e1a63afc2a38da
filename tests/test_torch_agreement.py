"""Every op gives PyTorch's values and gradients in float64, up to the order of the axes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import voxelgrad as vg
from voxelgrad import ops

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch = pytest.importorskip("torch", reason="compares with PyTorch, which is not installed")
F = torch.nn.functional

# Both sides compute in float64; what is left is the order of the sums, far below this.
TOLERANCE = 1e-10

rng = np.random.default_rng(20)


def normal(*shape: int) -> np.ndarray:
    return rng.standard_normal(shape)


def positive(*shape: int) -> np.ndarray:
    return rng.uniform(0.5, 2.0, shape)


def first(t: Any) -> Any:
    """Channels last to channels first."""
    return torch.movedim(t, -1, 1)


def last(t: Any) -> Any:
    """Channels first to channels last."""
    return torch.movedim(t, 1, -1)


def call(name: str, *args: Any, **kwargs: Any) -> Callable[..., Any]:
    """Our op of that name with settings after the tensors."""
    return lambda *tensors: getattr(ops, name)(*tensors, *args, **kwargs)


def spatial(op: Callable[..., Any], *args: Any, **kwargs: Any) -> Callable[..., Any]:
    """A torch op on channels-first images as one on channels-last images (and weights)."""

    def run(input: Any, *parameters: Any) -> Any:
        moved = [first(p) if p.ndim > 2 else p for p in parameters]
        return last(op(first(input), *moved, *args, **kwargs))

    return run


def transposed(op: Callable[..., Any], groups: int, **kwargs: Any) -> Callable[..., Any]:
    """PyTorch's transposed convolution, whose weight is (in, out // groups, *kernel)."""

    def run(input: Any, weight: Any, bias: Any) -> Any:
        blocks = weight.reshape(groups, -1, *weight.shape[1:])  # G, out / G, *kernel, in / G
        blocks = torch.movedim(blocks, -1, 1)  # G, in / G, out / G, *kernel
        return last(op(first(input), blocks.flatten(0, 1), bias, groups=groups, **kwargs))

    return run


def torch_dice(logits: Any, labels: Any, background: bool, batch: bool, ignore: int) -> Any:
    classes = logits.shape[-1]
    counted = (labels != ignore)[..., None]
    p = torch.softmax(logits, -1) * counted
    y = F.one_hot(torch.where(counted[..., 0], labels, 0), classes) * counted
    axes = tuple(range(0 if batch else 1, labels.ndim))
    dice = (2 * (p * y).sum(axes) + 1e-5) / (p.sum(axes) + y.sum(axes) + 1e-5)
    return 1 - dice[..., 0 if background else 1 :].mean()


def torch_focal(logits: Any, labels: Any, gamma: float, weight: Any) -> Any:
    log_p = torch.log_softmax(logits, -1).gather(-1, labels[..., None])[..., 0]
    w = weight[labels]
    return (-w * (1 - log_p.exp()) ** gamma * log_p).sum() / w.sum()


LABELS = rng.integers(0, 4, (2, 3, 5))
IGNORED = np.where(rng.random((2, 3, 5)) < 0.3, -100, LABELS)
WEIGHT = positive(4)
T_LABELS, T_IGNORED, T_WEIGHT = map(torch.from_numpy, (LABELS, IGNORED, WEIGHT))

Case = tuple[str, Callable[..., Any], Callable[..., Any], list[np.ndarray]]


def convolutions() -> list[Case]:
    cases: list[Case] = []
    settings = [
        {"stride": 1, "padding": 0, "dilation": 1, "groups": 1},
        {"stride": 2, "padding": 1, "dilation": 1, "groups": 2},
        {"stride": 1, "padding": 2, "dilation": 2, "groups": 4},
    ]
    for rank in (1, 2, 3):
        size = (7, 6, 5)[:rank]
        for s in settings:
            arrays = [normal(2, *size, 4), normal(8, *(3,) * rank, 4 // s["groups"]), normal(8)]
            ours, theirs = getattr(ops, f"conv{rank}d"), getattr(F, f"conv{rank}d")
            cases.append(
                (
                    f"conv{rank}d {s}",
                    lambda *a, f=ours, s=s: f(*a, **s),
                    spatial(theirs, **s),
                    arrays,
                )
            )
            extra = {**s, "output_padding": s["stride"] - 1}
            ours = getattr(ops, f"conv_transpose{rank}d")
            theirs = getattr(F, f"conv_transpose{rank}d")
            cases.append(
                (
                    f"conv_transpose{rank}d {extra}",
                    lambda *a, f=ours, s=extra: f(*a, **s),
                    transposed(theirs, **extra),
                    arrays,
                )
            )
    return cases


def pools() -> list[Case]:
    cases: list[Case] = []
    for rank in (1, 2, 3):
        x = [normal(2, *(7, 6, 5)[:rank], 3)]
        for args in ((2,), (3, 2, 1), (3, 1, 0)):
            for kind in ("max", "avg"):
                name = f"{kind}_pool{rank}d"
                cases.append(
                    (
                        f"{name} {args}",
                        call(name, *args),
                        spatial(getattr(F, name), *args),
                        x,
                    )
                )
        name = f"avg_pool{rank}d"
        cases.append(
            (
                f"{name} without padding counted",
                call(name, 3, 2, 1, count_include_pad=False),
                spatial(getattr(F, name), 3, 2, 1, count_include_pad=False),
                x,
            )
        )
        name = f"adaptive_avg_pool{rank}d"
        for size in (1, 3, 8):
            cases.append(
                (
                    f"{name} {size}",
                    call(name, size),
                    spatial(getattr(F, name), (size,) * rank),
                    x,
                )
            )
    cases.append(
        ("global_avg_pool", ops.global_avg_pool, lambda t: t.mean((1, 2)), [normal(2, 4, 5, 3)])
    )
    return cases


def norms() -> list[Case]:
    x, w, b = normal(3, 4, 5, 6), positive(6), normal(6)
    mean, var = normal(6), positive(6)
    t_mean, t_var = torch.from_numpy(mean), torch.from_numpy(var)
    return [
        (
            "batch_norm training",
            lambda x, w, b: ops.batch_norm(x, None, None, w, b, training=True),
            lambda x, w, b: last(F.batch_norm(first(x), None, None, w, b, training=True)),
            [x, w, b],
        ),
        (
            "batch_norm with running statistics",
            lambda x, w, b: ops.batch_norm(x, mean, var, w, b),
            lambda x, w, b: last(F.batch_norm(first(x), t_mean, t_var, w, b)),
            [x, w, b],
        ),
        ("instance_norm", ops.instance_norm, lambda x: last(F.instance_norm(first(x))), [x]),
        (
            "instance_norm affine",
            ops.instance_norm,
            lambda x, w, b: last(F.instance_norm(first(x), weight=w, bias=b)),
            [x, w, b],
        ),
        (
            "group_norm",
            lambda x, w, b: ops.group_norm(x, 3, w, b),
            lambda x, w, b: last(F.group_norm(first(x), 3, w, b)),
            [x, w, b],
        ),
        (
            "layer_norm",
            lambda x, w, b: ops.layer_norm(x, (5, 6), w, b),
            lambda x, w, b: F.layer_norm(x, (5, 6), w, b),
            [x, positive(5, 6), normal(5, 6)],
        ),
    ]


def elementwise() -> list[Case]:
    x = [normal(3, 4, 5)]
    same = ("relu", "leaky_relu", "elu", "sigmoid", "tanh", "softplus")
    cases: list[Case] = [(n, getattr(ops, n), getattr(F, n), x) for n in same]
    cases += [(n, getattr(ops, n), getattr(torch, n), x) for n in ("exp", "abs", "square")]
    cases += [(n, getattr(ops, n), getattr(torch, n), [positive(3, 4)]) for n in ("log", "sqrt")]
    for name in ("add", "sub", "mul", "div"):
        theirs = getattr(torch, name)
        cases.append((name, getattr(ops, name), theirs, [normal(3, 4), positive(3, 4)]))
        cases.append(
            (f"{name} broadcast", getattr(ops, name), theirs, [normal(3, 1), positive(2, 1, 4)])
        )
    cases += [
        ("operators", lambda a: 2.0 / (a * 3 - 1) + (1 - a) ** 2, None, [positive(3) + 1]),
        ("sum", lambda t: t.sum((0, 2)), lambda t: t.sum((0, 2)), x),
        ("mean", lambda t: t.mean(1, keepdims=True), lambda t: t.mean(1, keepdim=True), x),
        ("softmax", ops.softmax, lambda t: t.softmax(-1), x),
        ("softmax axis 1", lambda t: ops.softmax(t, 1), lambda t: t.softmax(1), x),
        ("log_softmax", ops.log_softmax, lambda t: t.log_softmax(-1), x),
        ("linear", ops.linear, F.linear, [normal(2, 3, 4), normal(5, 4), normal(5)]),
    ]
    return [(n, ours, ours if theirs is None else theirs, a) for n, ours, theirs, a in cases]


def shapes() -> list[Case]:
    x = [normal(2, 5, 4, 3)]
    widths, flat = [(0, 0), (1, 2), (3, 0), (0, 0)], (3, 0, 1, 2)
    cases: list[Case] = [
        (
            f"pad {ours}",
            lambda t, m=ours: ops.pad(t, widths, m),
            spatial(F.pad, flat, mode=theirs),
            x,
        )
        for ours, theirs in (
            ("constant", "constant"),
            ("reflect", "reflect"),
            ("edge", "replicate"),
        )
    ]
    cases += [
        ("crop", lambda t: ops.crop(t, (0, 1, 2, 0), (2, 3, 2, 3)), lambda t: t[:, 1:4, 2:], x),
        ("indexing", lambda t: t[1, ..., -2:], lambda t: t[1, ..., -2:], x),
        ("reshape", lambda t: t.reshape(4, -1), lambda t: t.reshape(4, -1), x),
        ("transpose", lambda t: t.transpose(3, 0, 2, 1), lambda t: t.permute(3, 0, 2, 1), x),
        (
            "concat",
            lambda a, b: ops.concat([a, b, a], axis=1),
            lambda a, b: torch.cat([a, b, a], 1),
            [normal(2, 3, 4), normal(2, 1, 4)],
        ),
    ]
    modes = {1: "linear", 2: "bilinear", 3: "trilinear"}
    for rank in (1, 2, 3):
        size, image = (9, 3, 8)[:rank], [normal(2, *(5, 6, 4)[:rank], 3)]
        cases.append(
            (
                f"interpolate nearest {rank}d",
                lambda t, s=size: ops.interpolate(t, s),
                spatial(F.interpolate, size),
                image,
            )
        )
        for corners in (False, True):
            cases.append(
                (
                    f"interpolate linear {rank}d {corners}",
                    lambda t, s=size, c=corners: ops.interpolate(
                        t, s, mode="linear", align_corners=c
                    ),
                    spatial(F.interpolate, size, mode=modes[rank], align_corners=corners),
                    image,
                )
            )
    return cases


def losses() -> list[Case]:
    x, targets = [normal(2, 3, 5, 4)], rng.random((2, 3))
    cases: list[Case] = [
        (
            "cross_entropy",
            lambda t: ops.cross_entropy(t, IGNORED, WEIGHT),
            lambda t: F.cross_entropy(first(t), T_IGNORED, T_WEIGHT),
            x,
        ),
        (
            "focal_loss",
            lambda t: ops.focal_loss(t, LABELS, 1.5, WEIGHT),
            lambda t: torch_focal(t, T_LABELS, 1.5, T_WEIGHT),
            x,
        ),
        (
            "binary_cross_entropy_with_logits",
            lambda t: ops.binary_cross_entropy_with_logits(t, targets, 2.5),
            lambda t: F.binary_cross_entropy_with_logits(
                t, torch.from_numpy(targets), pos_weight=torch.tensor(2.5)
            ),
            [normal(2, 3)],
        ),
        ("mse_loss", ops.mse_loss, F.mse_loss, [normal(3, 4), normal(3, 4)]),
        ("l1_loss", ops.l1_loss, F.l1_loss, [normal(3, 4), normal(3, 4)]),
        (
            "dice_ce_loss",
            lambda t: ops.dice_ce_loss(t, LABELS, class_weight=WEIGHT),
            lambda t: (
                torch_dice(t, T_LABELS, True, True, -100)
                + F.cross_entropy(first(t), T_LABELS, T_WEIGHT)
            ),
            x,
        ),
    ]
    for background in (True, False):
        for batch in (True, False):
            cases.append(
                (
                    f"dice_loss background {background} batch {batch}",
                    lambda t, g=background, b=batch: ops.dice_loss(
                        t, IGNORED, include_background=g, batch=b
                    ),
                    lambda t, g=background, b=batch: torch_dice(t, T_IGNORED, g, b, -100),
                    x,
                )
            )
    return cases


def composed() -> list[Case]:
    """What is made of other ops: dilated and ceil-mode windows, cubic and antialiased resizing."""
    image, uneven = [normal(2, 9, 8, 3)], (2, 1, 0, 1)  # PyTorch counts from the last axis
    resizes = [
        {"mode": "cubic", "align_corners": corners, "antialias": smooth}
        for corners, smooth in ((False, False), (True, False), (False, True))
    ]
    resizes.append({"mode": "linear", "antialias": True})
    cases: list[Case] = [
        ("prelu", ops.prelu, lambda t, s: F.prelu(first(t), s).movedim(1, -1), [*image, normal(3)]),
        ("matmul", ops.matmul, torch.matmul, [normal(2, 1, 3, 4), normal(5, 4, 2)]),
        (
            "uneven padding",
            lambda t, w: ops.conv2d(t, w, padding=[(0, 1), (2, 1)]),
            lambda t, w: last(F.conv2d(F.pad(first(t), uneven), first(w))),
            [*image, normal(4, 3, 2, 3)],
        ),
    ]
    pooled = [("max_pool2d", (*args,), {}) for args in ((3, 2, 1, 2, True), (2, 3, 1, 3))]
    for name, args, more in [*pooled, ("avg_pool2d", (3, 2, 1), {"ceil_mode": True})]:
        theirs = spatial(getattr(F, name), *args, **more)
        cases.append((f"{name} {args}", call(name, *args, **more), theirs, image))
    for size in ((13, 5), (4, 20)):
        for settings in resizes:
            theirs = {**settings, "mode": f"bi{settings['mode']}"}
            ours = call("interpolate", size, **settings)
            cases.append(
                (f"{size} {settings}", ours, spatial(F.interpolate, size, **theirs), image)
            )
    return cases


CASES = [
    *(*convolutions(), *pools(), *norms(), *elementwise()),
    *(*shapes(), *losses(), *composed()),
]


@pytest.mark.parametrize(
    ("ours", "theirs", "arrays"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_values_and_gradients_agree(
    ours: Callable[..., Any], theirs: Callable[..., Any], arrays: list[np.ndarray]
) -> None:
    mine = [vg.Tensor(a, requires_grad=True) for a in arrays]
    other = [torch.from_numpy(a.copy()).requires_grad_() for a in arrays]
    output, expected = ours(*mine), theirs(*other)
    np.testing.assert_allclose(
        output.numpy(), expected.detach().numpy(), rtol=TOLERANCE, atol=TOLERANCE
    )
    grad = np.random.default_rng(3).standard_normal(output.shape)
    output.backward(grad)
    expected.backward(torch.from_numpy(np.asarray(grad)))
    for t, e in zip(mine, other, strict=True):
        assert t.grad is not None
        np.testing.assert_allclose(t.grad.numpy(), e.grad.numpy(), rtol=TOLERANCE, atol=TOLERANCE)


def test_running_statistics_follow_torch() -> None:
    mean, var = np.zeros(6), np.ones(6)
    t_mean, t_var = torch.zeros(6, dtype=torch.float64), torch.ones(6, dtype=torch.float64)
    for _ in range(3):
        x = normal(3, 4, 5, 6)
        ops.batch_norm(vg.Tensor(x), mean, var, training=True, momentum=0.3)
        F.batch_norm(first(torch.from_numpy(x)), t_mean, t_var, training=True, momentum=0.3)
    np.testing.assert_allclose(mean, t_mean.numpy(), rtol=TOLERANCE)
    np.testing.assert_allclose(var, t_var.numpy(), rtol=TOLERANCE)

"""For every op a strategy of cases: Hypothesis draws shapes and settings, degenerate ones too."""

from __future__ import annotations

from itertools import pairwise
from math import prod
from typing import Any

from hypothesis import strategies as st

from drawn_norms_and_losses import LOSSES, NORMS
from drawn_spatial import (
    Cases,
    Draw,
    adaptive_pools,
    convolutions,
    global_pools,
    interpolations,
    pools,
    resamplings,
    transposed_convolutions,
)
from op_case import Arg, OpCase

Shape = tuple[int, ...]
EXTENTS = st.sampled_from((1, 2, 3, 4, 5, 7, 16, 17, 0))
SHAPES = st.lists(EXTENTS, max_size=4).map(tuple)
FILLED = st.lists(st.integers(1, 6), min_size=1, max_size=4).map(tuple)


def _elementwise(op: str, kind: str, settings: Cases | None = None) -> Cases:
    return st.builds(
        lambda shape, params: OpCase(op, (Arg(shape, kind),), params, "elementwise"),
        SHAPES,
        st.just({}) if settings is None else settings,
    )


@st.composite
def _clips(draw: Draw) -> OpCase:
    """Draw limits between the numbers, which are multiples of 1/128."""
    low, high = sorted(draw(st.tuples(*[st.integers(-40, 40)] * 2)))
    limits = [(2 * low + 1) / 256, (2 * high + 1) / 256]
    limits[0] = draw(st.sampled_from((limits[0], float("-inf"))))
    limits[1] = draw(st.sampled_from((limits[1], float("inf"))))
    settings = dict(zip(("low", "high"), limits, strict=True))
    return OpCase("clip", (Arg(draw(SHAPES), "distinct"),), settings, "selection")


def _shrunk(draw: Draw, shape: Shape) -> Shape:
    """Return a shape that broadcasts to ``shape``."""
    ones = tuple(draw(st.sampled_from((length, 1))) for length in shape)
    return ones[draw(st.integers(0, len(ones))) :] if draw(st.booleans()) else ones


@st.composite
def _prelus(draw: Draw) -> OpCase:
    shape = draw(SHAPES)
    args = (Arg(shape, "away"), Arg(_shrunk(draw, shape)))
    return OpCase("prelu", args, {}, "prelu", prod(shape))


@st.composite
def _binaries(draw: Draw, op: str) -> OpCase:
    shape = draw(SHAPES)
    pair = [shape, _shrunk(draw, shape)]
    if draw(st.booleans()):
        pair.reverse()
    if draw(st.booleans()):
        pair[0] = _shrunk(draw, shape)
    args = (Arg(pair[0]), Arg(pair[1], "positive" if op == "div" else "normal"))
    return OpCase(op, args, terms=max(1, prod(shape)))


def _dropouts() -> Cases:
    settings = st.fixed_dictionaries(
        {"p": st.sampled_from((0.0, 0.1, 0.5, 0.9)), "training": st.booleans()}
    )
    return st.builds(
        lambda shape, params: OpCase("dropout", (Arg(shape),), params, terms=1), SHAPES, settings
    )


@st.composite
def _softmaxes(draw: Draw, op: str) -> OpCase:
    shape = list(draw(st.lists(EXTENTS, min_size=1, max_size=4)))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    shape[axis] = max(shape[axis], 1)
    return OpCase(op, (Arg(tuple(shape)),), {"axis": axis}, op)


@st.composite
def _reductions(draw: Draw, op: str) -> OpCase:
    shape = draw(SHAPES if op == "sum" else FILLED)
    axes = draw(st.sets(st.integers(0, len(shape) - 1))) if shape else set()
    axis = draw(st.sampled_from((None, tuple(sorted(axes)))))
    settings = {"axis": axis, "keepdims": draw(st.booleans())}
    return OpCase(op, (Arg(shape),), settings, terms=prod(shape))


@st.composite
def _concats(draw: Draw) -> OpCase:
    shape = draw(st.lists(EXTENTS, min_size=1, max_size=4))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    args = []
    for length in draw(st.lists(EXTENTS, min_size=1, max_size=4)):
        shape[axis] = length
        args.append(Arg(tuple(shape)))
    return OpCase("concat", tuple(args), {"axis": axis}, "selection", 1, listed=True)


@st.composite
def _pads(draw: Draw) -> OpCase:
    shape = draw(st.lists(st.integers(0, 5), max_size=4))
    mode = draw(st.sampled_from(("constant", "reflect", "edge", "wrap")))
    pairs = []
    for length in shape:
        most = {"constant": 4, "reflect": max(0, length - 1)}.get(mode, 4 if length else 0)
        pairs.append(draw(st.tuples(*[st.integers(0, most)] * 2)))
    settings: dict[str, Any] = {"pad_width": tuple(pairs), "mode": mode}
    if mode == "constant":
        settings["value"] = draw(st.sampled_from((0.0, -1.5, float("-inf"))))
    terms = prod(1 + before + after for before, after in pairs)
    return OpCase("pad", (Arg(tuple(shape)),), settings, "selection", terms)


@st.composite
def _crops(draw: Draw) -> OpCase:
    shape = draw(SHAPES)
    start = tuple(draw(st.integers(0, length)) for length in shape)
    size = tuple(
        draw(st.integers(0, length - first)) for first, length in zip(start, shape, strict=True)
    )
    return OpCase("crop", (Arg(shape),), {"start": start, "size": size}, "selection", 1)


@st.composite
def _indices(draw: Draw) -> OpCase:
    shape = draw(SHAPES)
    key: list[Any] = []
    for length in shape[: draw(st.integers(0, len(shape)))]:
        ends = st.none() | st.integers(-length - 1, length + 1)
        part = st.builds(slice, ends, ends)
        key.append(draw(part | st.integers(-length, length - 1) if length else part))
    if draw(st.booleans()):
        key.insert(draw(st.integers(0, len(key))), None)
    if draw(st.booleans()):
        key.append(...)
    return OpCase("getitem", (Arg(shape),), {}, "selection", 1, settings=(tuple(key),))


@st.composite
def _reshapes(draw: Draw) -> OpCase:
    """Draw a shape, and the same one with neighbouring axes joined."""
    shape = draw(SHAPES)
    cuts = sorted(draw(st.sets(st.integers(0, len(shape)))) | {0, len(shape)})
    target = [prod(shape[a:b]) for a, b in pairwise(cuts)]
    if target and 0 not in shape and draw(st.booleans()):
        target[draw(st.integers(0, len(target) - 1))] = -1
    pair = (shape, tuple(target))
    if -1 not in target and draw(st.booleans()):
        pair = (pair[1], pair[0])
    return OpCase("reshape", (Arg(pair[0]),), {}, "selection", 1, settings=(pair[1],))


def _transposes() -> Cases:
    def case(shape_and_axes: tuple[Shape, Shape]) -> OpCase:
        shape, axes = shape_and_axes
        return OpCase("transpose", (Arg(shape),), {}, "selection", 1, settings=(tuple(axes),))

    longer = st.lists(EXTENTS, min_size=1, max_size=5).map(tuple)
    return longer.flatmap(
        lambda shape: st.tuples(st.just(shape), st.permutations(range(len(shape)))).map(case)
    )


@st.composite
def _linears(draw: Draw) -> OpCase:
    inner, outer = draw(st.integers(1, 70)), draw(st.integers(1, 40))
    rows = draw(st.lists(st.integers(0, 9), max_size=3).map(tuple))
    bias = Arg((outer,)) if draw(st.booleans()) else None
    return OpCase("linear", (Arg((*rows, inner)), Arg((outer, inner)), bias), family="convolution")


@st.composite
def _products(draw: Draw) -> OpCase:
    inner = draw(st.integers(1, 20))
    rows, columns = draw(st.integers(0, 5)), draw(st.integers(1, 5))
    stack = draw(st.lists(st.integers(0, 3), max_size=2).map(tuple))
    left, right = (*_shrunk(draw, stack), rows, inner), (*stack, inner, columns)
    if draw(st.booleans()):
        left = draw(st.sampled_from(((inner,), (*stack, rows, inner))))
    if draw(st.booleans()):
        right = draw(st.sampled_from(((inner,), (*_shrunk(draw, stack), inner, columns))))
    terms = max(1, inner * rows, inner, columns) * max(1, prod(stack))
    return OpCase("matmul", (Arg(left), Arg(right)), terms=terms)


ELEMENTWISE: dict[str, Cases] = {
    "relu": _elementwise("relu", "away"),
    "leaky_relu": _elementwise(
        "leaky_relu",
        "away",
        st.fixed_dictionaries({"negative_slope": st.sampled_from((0.01, 0.0, 0.5, -0.3, 1.0))}),
    ),
    "elu": _elementwise(
        "elu", "away", st.fixed_dictionaries({"alpha": st.sampled_from((0.1, 0.7, 1.0))})
    ),
    **{op: _elementwise(op, "normal") for op in ("sigmoid", "tanh", "softplus", "exp", "square")},
    **{op: _elementwise(op, "positive") for op in ("log", "sqrt")},
    "abs": _elementwise("abs", "away"),
    "clip": _clips(),
    "prelu": _prelus(),
    "dropout": _dropouts(),
    **{op: _binaries(op) for op in ("add", "sub", "mul", "div")},
}

CONVOLUTIONS: dict[str, Cases] = {
    **{f"conv{rank}d": convolutions(rank) for rank in (1, 2, 3)},
    **{f"conv_transpose{rank}d": transposed_convolutions(rank) for rank in (1, 2, 3)},
    "linear": _linears(),
}

DRAWN: dict[str, Cases] = {
    **ELEMENTWISE,
    **CONVOLUTIONS,
    **{f"{k}_pool{rank}d": pools(k, rank) for k in ("max", "avg") for rank in (1, 2, 3)},
    **{f"adaptive_avg_pool{rank}d": adaptive_pools(rank) for rank in (1, 2, 3)},
    **{op: global_pools(op) for op in ("global_avg_pool", "global_max_pool")},
    "interpolate": interpolations(),
    "resample": resamplings(),
    **{op: _softmaxes(op) for op in ("softmax", "log_softmax")},
    **{op: _reductions(op) for op in ("sum", "mean")},
    "concat": _concats(),
    "pad": _pads(),
    "crop": _crops(),
    "getitem": _indices(),
    "reshape": _reshapes(),
    "transpose": _transposes(),
    "matmul": _products(),
    **NORMS,
    **LOSSES,
}

NOT_DRAWN = {
    "cast": "has no arithmetic: test_precision.py compares every rounding bit for bit",
    "to_device": "copies: test_cuda_backend.py goes there and back",
}

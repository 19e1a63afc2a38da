"""Settings that convolutions and poolings share: kernels, strides, many kinds of padding."""

from __future__ import annotations

from collections.abc import Sequence

from voxelgrad.interop.onnx.call import Call, one_of
from voxelgrad.interop.spatial import Ints, Pairs, same_padding
from voxelgrad.tensor import Tensor


def check_rank(input: Tensor) -> int:
    """Return the number of spatial axes of an image with the channels last.

    Raises:
        ValueError: If there are more than three.
    """
    rank = input.ndim - 2
    if rank > 3:
        raise ValueError(f"the input has {rank} spatial axes; voxelgrad computes on 1 to 3")
    return rank


def check_kernel(call: Call, found: Ints) -> Ints:
    """Return the kernel's extents.

    Raises:
        ValueError: If attribute kernel_shape says otherwise.
    """
    said = call.attribute("kernel_shape")
    if said is not None and tuple(said) != found:
        raise ValueError(f"kernel_shape is {said}, but the weight's kernel is {list(found)}")
    return found


def per_axis(call: Call, name: str, rank: int, default: int = 1, least: int = 1) -> Ints:
    """Return an attribute with one integer for each spatial axis.

    Raises:
        ValueError: If it has another number of them, or one is too small.
    """
    values = call.attribute(name)
    if values is None:
        return (default,) * rank
    if len(values) != rank or min(values) < least:
        raise ValueError(f"{name} is {values}; it must be {rank} integers of at least {least}")
    return tuple(int(value) for value in values)


def resolve_padding(
    call: Call, size: Sequence[int], kernel: Ints, strides: Ints, dilations: Ints
) -> Pairs:
    """Return the padding before and after each spatial axis, from pads or auto_pad."""
    rank = len(size)
    automatic = one_of(
        "auto_pad",
        call.attribute("auto_pad", "NOTSET"),
        ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"),
    )
    if automatic == "NOTSET":
        pads = given_padding(call, rank)
        call.check_growth([n + sum(pair) for n, pair in zip(size, pads, strict=True)])
        return pads
    if automatic == "VALID":
        return ((0, 0),) * rank
    pairs = []
    for n, k, s, d in zip(size, kernel, strides, dilations, strict=True):
        small, large = same_padding(n, k, s, d)
        pairs.append((small, large) if automatic == "SAME_UPPER" else (large, small))
    return tuple(pairs)


def given_padding(call: Call, rank: int) -> Pairs:
    """Return attribute pads (all befores, then all afters) as pairs.

    Raises:
        ValueError: If there are not two for each axis, or one is negative.
    """
    pads = call.attribute("pads")
    if pads is None:
        return ((0, 0),) * rank
    if len(pads) != 2 * rank or min(pads) < 0:
        raise ValueError(f"pads is {pads}; it must be {2 * rank} integers of at least 0")
    return tuple((int(pads[i]), int(pads[rank + i])) for i in range(rank))

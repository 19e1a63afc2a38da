"""Ops that move elements without computing: reshape, transpose, concat, pad, crop, indexing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from voxelgrad.autograd import Function, restore
from voxelgrad.ops._arguments import Shape, as_axis, as_ints, as_tensor
from voxelgrad.tensor import Array, Tensor


class Reshape(Function):
    """The same elements, in the same order, in another shape: a view."""

    __slots__ = ("input_shape", "output_shape")
    op = "reshape"
    passes_gradient = True

    def __init__(self, shape: Shape) -> None:
        self.output_shape = shape

    def check(self, input: Array) -> None:
        self.input_shape = input.shape
        unknown = self.output_shape.count(-1)
        known = 1
        for length in self.output_shape:
            known *= 1 if length == -1 else length
        if unknown > 1 or min(self.output_shape, default=0) < -1:
            raise ValueError(
                f"reshape: shape is {self.output_shape}; lengths must be 0 or greater, and at "
                f"most one may be -1 (computed from the others)"
            )
        fits = known == input.size if not unknown else known > 0 and input.size % known == 0
        if not fits:
            raise ValueError(
                f"reshape: input has {input.size} elements (shape {input.shape}), which do not "
                f"fit into shape {self.output_shape}; the products of the lengths must be equal"
            )

    def forward(self, input: Array) -> Array:
        return input.reshape(self.output_shape)

    def backward(self, grad_output: Array) -> tuple[Array | None, ...]:
        return (grad_output.reshape(self.input_shape),)


class Transpose(Function):
    """A copy with the axes in another order."""

    __slots__ = ("axes",)
    op = "transpose"

    def __init__(self, axes: Shape) -> None:
        self.axes = axes

    def check(self, input: Array) -> None:
        if sorted(self.axes) != list(range(input.ndim)):
            raise ValueError(
                f"transpose: axes are {self.axes}, but input has {input.ndim} axes (shape "
                f"{input.shape}); name each of 0 to {input.ndim - 1} once"
            )

    def forward(self, input: Array) -> Array:
        return self._permuted(input, self.axes)

    def backward(self, grad_output: Array) -> tuple[Array | None, ...]:
        back = tuple(self.axes.index(i) for i in range(len(self.axes)))
        return (self._permuted(grad_output, back),)

    def _permuted(self, array: Array, axes: Shape) -> Array:
        output: Array = self.backend.empty(tuple(array.shape[i] for i in axes), array.dtype)
        self.backend.transpose(array, output, axes)
        return output


class Concat(Function):
    """Tensors joined along one axis.

    Where one of them can be rebuilt, so can the result: the others are kept for that, which is less
    than keeping the result.
    """

    __slots__ = ("axis", "can_rebuild", "output_shape", "shapes")
    op = "concat"
    input_names = ("tensors",)

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def input_name(self, index: int) -> str:
        return f"tensors[{index}]"

    def check(self, *inputs: Array) -> None:
        first = inputs[0].shape
        axis = self.axis = as_axis("concat", self.axis, len(first))
        rest = first[:axis] + first[axis + 1 :]
        length = 0
        for index, array in enumerate(inputs):
            shape = array.shape
            if len(shape) != len(first) or shape[:axis] + shape[axis + 1 :] != rest:
                raise ValueError(
                    f"concat: tensors[0] has shape {first} but tensors[{index}] has shape {shape}; "
                    f"all lengths except that of axis {axis} must be equal"
                )
            length += shape[axis]
        self.shapes = [array.shape for array in inputs]
        self.output_shape = (*first[:axis], length, *first[axis + 1 :])

    def forward(self, *inputs: Array) -> Array:
        kept = tuple(self.keep(index, array) for index, array in enumerate(inputs))
        self.can_rebuild = any(isinstance(one, Function) for one in kept)
        if self.can_rebuild:
            self.saved = kept
        return self._joined(list(inputs))

    def rebuild(self) -> Array:
        assert self.saved is not None
        return self._joined([restore(kept) for kept in self.saved])

    def _joined(self, arrays: list[Array]) -> Array:
        output: Array = self.backend.empty(self.output_shape, arrays[0].dtype)
        self.backend.concat(arrays, output, self.axis)
        return output

    def backward(self, grad_output: Array) -> tuple[Array | None, ...]:
        if not all(self.needs_grad):
            return self._some_gradients(grad_output)
        gradients = [self.backend.empty(shape, grad_output.dtype) for shape in self.shapes]
        self.backend.split(grad_output, gradients, self.axis)
        return tuple(gradients)

    def _some_gradients(self, grad_output: Array) -> tuple[Array | None, ...]:
        gradients: list[Array | None] = []
        start = [0] * grad_output.ndim
        for shape, needed in zip(self.shapes, self.needs_grad, strict=True):
            gradient = None
            if needed:
                gradient = self.backend.empty(shape, grad_output.dtype)
                self.backend.slice_forward(grad_output, gradient, tuple(start))
            gradients.append(gradient)
            start[self.axis] += shape[self.axis]
        return tuple(gradients)


class Pad(Function):
    """Elements added at both ends of each axis."""

    __slots__ = ("before", "input_shape", "mode", "output_shape", "pad_width", "value")
    op = "pad"

    def __init__(self, pad_width: tuple[tuple[int, int], ...], mode: str, value: float) -> None:
        self.pad_width = pad_width
        self.mode = mode
        self.value = value
        self.before = tuple(before for before, _ in pad_width)

    def check(self, input: Array) -> None:
        shape = self.input_shape = input.shape
        if len(self.pad_width) != len(shape):
            raise ValueError(
                f"pad: pad_width has {len(self.pad_width)} pairs, but input has {len(shape)} axes "
                f"(shape {shape}); give one (before, after) pair per axis, batch and channels "
                f"included"
            )
        limits = {"constant": None, "edge": 1, "reflect": 0}
        if self.mode not in limits:
            raise ValueError(f"pad: mode is {self.mode!r}; choose constant, reflect or edge")
        for axis, pair in enumerate(self.pad_width):
            if min(pair) < 0:
                raise ValueError(
                    f"pad: pad_width of axis {axis} is {pair}; widths must be 0 or greater (use "
                    f"crop to cut)"
                )
            if max(pair) == 0 or self.mode == "constant":
                continue
            if shape[axis] == 0 or (self.mode == "reflect" and max(pair) >= shape[axis]):
                raise ValueError(
                    f"pad: pad_width of axis {axis} is {pair}, but the axis has length "
                    f"{shape[axis]}; mode {self.mode!r} needs "
                    + (
                        "widths less than that"
                        if self.mode == "reflect"
                        else "an element to repeat"
                    )
                )
        self.output_shape = tuple(
            n + before + after for n, (before, after) in zip(shape, self.pad_width, strict=True)
        )

    def forward(self, input: Array) -> Array:
        output: Array = self.backend.empty(self.output_shape, input.dtype)
        self.backend.pad_forward(input, output, self.before, self.mode, self.value)
        return output

    def backward(self, grad_output: Array) -> tuple[Array | None, ...]:
        grad_input = self.backend.empty(self.input_shape, grad_output.dtype)
        self.backend.pad_backward(grad_output, grad_input, self.before, self.mode)
        return (grad_input,)


class Crop(Function):
    """A copy of a box: ``size`` elements from ``start`` along each axis."""

    __slots__ = ("input_shape", "size", "start")
    op = "crop"

    def __init__(self, start: Shape, size: Shape) -> None:
        self.start = start
        self.size = size

    def check(self, input: Array) -> None:
        shape = self.input_shape = input.shape
        if not len(self.start) == len(self.size) == len(shape):
            raise ValueError(
                f"crop: start {self.start} and size {self.size} must have one number for each of "
                f"the {len(shape)} axes of input (shape {shape})"
            )
        for axis, (first, length) in enumerate(zip(self.start, self.size, strict=True)):
            if first < 0 or length < 0 or first + length > shape[axis]:
                raise ValueError(
                    f"crop: start {first} and size {length} leave axis {axis} of length "
                    f"{shape[axis]} (input shape {shape}); use pad first, or a smaller box"
                )

    def forward(self, input: Array) -> Array:
        output: Array = self.backend.empty(self.size, input.dtype)
        self.backend.slice_forward(input, output, self.start)
        return output

    def backward(self, grad_output: Array) -> tuple[Array | None, ...]:
        grad_input = self.backend.empty(self.input_shape, grad_output.dtype)
        self.backend.pad_forward(grad_output, grad_input, self.start, "constant", 0.0)
        return (grad_input,)


def reshape(input: Tensor, *shape: int | Sequence[int]) -> Tensor:
    """Return the same elements in another shape; the result shares memory with the input.

    Args:
        input: A tensor of any shape.
        shape: The new lengths, as numbers or as one tuple; one may be -1.

    Returns:
        A tensor of that shape.

    Raises:
        ValueError: If the number of elements differs.
    """
    return Reshape(_listed("reshape", "shape", shape)).apply(input)


def transpose(input: Tensor, *axes: int | Sequence[int]) -> Tensor:
    """Return a copy with the axes reordered.

    Args:
        input: A tensor of any shape.
        axes: For each axis of the result the axis of the input it is, as numbers or as one tuple;
            none given reverses all.

    Returns:
        A contiguous tensor.

    Raises:
        ValueError: If ``axes`` is no permutation.
    """
    input = as_tensor("transpose", "input", input)
    ndim = input.ndim
    order = _listed("transpose", "axes", axes) if axes else tuple(reversed(range(ndim)))
    return Transpose(tuple(i + ndim if i < 0 else i for i in order)).apply(input)


def concat(tensors: Sequence[Tensor], axis: int = -1) -> Tensor:
    """Join tensors along one axis (the channels, unless said otherwise).

    Args:
        tensors: Tensors whose shapes agree except along ``axis``.
        axis: The axis to join along.

    Returns:
        One tensor.

    Raises:
        ValueError: If there are none or the shapes do not fit.
        TypeError: If the dtypes differ.
    """
    if isinstance(tensors, Tensor) or not isinstance(tensors, Sequence) or len(tensors) == 0:
        raise ValueError("concat: tensors must be a list of at least one tensor")
    return Concat(axis).apply(*tensors)


def pad(
    input: Tensor,
    pad_width: Sequence[Sequence[int]],
    mode: str = "constant",
    value: float = 0.0,
) -> Tensor:
    """Add elements at both ends of each axis.

    Args:
        input: A tensor of any shape.
        pad_width: One ``(before, after)`` pair for every axis, as in ``numpy.pad``.
        mode: ``"constant"`` (``value``), ``"reflect"`` (mirrored without repeating the border
            element) or ``"edge"`` (the border element repeated).
        value: What ``"constant"`` fills in.

    Returns:
        The larger tensor.

    Raises:
        ValueError: If widths are negative, missing, or too large to reflect.
    """
    if not isinstance(pad_width, (tuple, list)):
        raise TypeError(f"pad: pad_width must be a list of (before, after); got {pad_width!r}")
    pairs = tuple(as_ints("pad", f"pad_width[{i}]", p, 2) for i, p in enumerate(pad_width))
    return Pad(tuple((p[0], p[1]) for p in pairs), mode, float(value)).apply(input)


def crop(input: Tensor, start: Sequence[int], size: Sequence[int]) -> Tensor:
    """Cut out a box.

    Args:
        input: A tensor of any shape.
        start: For every axis the index of the first element kept.
        size: For every axis the number of elements kept.

    Returns:
        A copy of shape ``size``.

    Raises:
        ValueError: If the box leaves the input.
    """
    box = _listed("crop", "start", (start,)), _listed("crop", "size", (size,))
    return Crop(*box).apply(input)


def getitem(input: Tensor, key: Any) -> Tensor:
    """Index with ints, slices of step 1, ``...`` and ``None``; also the operator ``[]``.

    Args:
        input: A tensor of any shape.
        key: What stands between the brackets.

    Returns:
        A copy of the part.

    Raises:
        IndexError: If an index leaves the tensor or there are too many.
        TypeError: If ``key`` holds anything else, such as an index array.
        ValueError: If a slice has another step.
    """
    start, size, shape = _parse_key(input.shape, key if isinstance(key, tuple) else (key,))
    return reshape(Crop(start, size).apply(input), shape)


def _parse_key(shape: Shape, keys: tuple[Any, ...]) -> tuple[Shape, Shape, Shape]:
    """Return start, size and final shape of the part that ``keys`` select."""
    used = len([k for k in keys if k is not None and k is not Ellipsis])
    if used > len(shape):
        raise IndexError(
            f"index: {used} indices for a tensor of {len(shape)} axes (shape {shape}); give fewer"
        )
    keys = _expand_ellipsis(keys, len(shape) - used)
    start: list[int] = []
    size: list[int] = []
    result: list[int] = []
    for key in keys:
        if key is None:
            result.append(1)
            continue
        first, length = _parse_one(len(start), shape[len(start)], key)
        start.append(first)
        size.append(length)
        if isinstance(key, slice):
            result.append(length)
    return tuple(start), tuple(size), tuple(result)


def _expand_ellipsis(keys: tuple[Any, ...], missing: int) -> tuple[Any, ...]:
    """Replace ``...`` (at the end, if there is none) by as many full slices as are missing."""
    places = [i for i, key in enumerate(keys) if key is Ellipsis]
    if len(places) > 1:
        raise IndexError("index: '...' may stand only once")
    place = places[0] if places else len(keys)
    return keys[:place] + (slice(None),) * missing + keys[place + 1 :]


def _parse_one(axis: int, length: int, key: Any) -> tuple[int, int]:
    """Return first index and number of elements that ``key`` selects along an axis."""
    if isinstance(key, slice):
        first, stop, step = key.indices(length)
        if step != 1:
            raise ValueError(f"index: the slice of axis {axis} has step {step}; only 1 is offered")
        return first, max(0, stop - first)
    if not isinstance(key, (int, np.integer)) or isinstance(key, bool):
        raise TypeError(
            f"index: axis {axis} is indexed by {type(key).__name__}; use ints, slices, '...' or "
            f"None (for index arrays and masks, index .numpy())"
        )
    if not -length <= key < length:
        raise IndexError(f"index: {key} is outside axis {axis} of length {length}")
    return int(key) % length, 1


def _listed(op: str, name: str, values: tuple[Any, ...]) -> Shape:
    """Return ints given one by one or as one sequence as a tuple."""
    if len(values) == 1 and isinstance(values[0], (tuple, list)):
        values = tuple(values[0])
    return as_ints(op, name, values, len(values))

"""Reverse-mode differentiation on a dynamic tape.

Every op is a ``Function``: ``check``, ``forward`` and ``backward`` beside each other. Applying one
to tensors that require gradients makes the instance a node of the graph: it holds edges to the
nodes that made its inputs and the arrays its ``backward`` needs, nothing else, so an intermediate
result lives only as long as somebody needs it. What is cheap to compute again (a norm with its
activation) is not kept for the ops that follow: they keep the node that made it.

Arrays that a node saved are the ones the forward pass used, not copies: changing ``tensor.data`` in
place between forward and backward changes the gradients without an error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from voxelgrad.backends import backend_of, device_of, is_on_device
from voxelgrad.dtypes import BFLOAT16, FLOAT32, FLOAT64
from voxelgrad.grad_mode import mode
from voxelgrad.tensor import Array, Tensor, wrap

Node: TypeAlias = "Function | Tensor"
"""What an edge points to: the op that made an input, or the leaf tensor that gets a gradient."""


class Function:
    """An operation with its gradient; the instance of one call is a node of the graph.

    A subclass takes its settings (stride, axis, ...) in ``__init__``, names its array arguments in
    ``input_names`` and defines ``check``, ``forward`` and ``backward``. A call is ``Conv(stride,
    padding).apply(input, weight)``.

    Attributes:
        backend: The module of flat functions that computes this call, chosen from the arrays.
        needs_grad: For each input whether its gradient is asked for. ``forward`` saves and
            ``backward`` computes only what that takes.
        saved: What ``forward`` keeps for ``backward``; freed when ``backward`` has run.
        can_overwrite: In ``backward``: nobody else uses ``grad_output``, so it may be the output of
            an in-place operation and be returned.
    """

    __slots__ = ("backend", "can_overwrite", "edges", "hooks", "needs_grad", "saved")

    op: str = "function"
    """The name that errors begin with (a subclass may make it a slot)."""

    input_names: tuple[str, ...] = ("input",)
    """Names of the array arguments, for errors."""

    parameters_from: int = 1_000_000
    """Index of the first input that is a parameter: it stays float32 beside bfloat16 images."""

    passes_gradient: bool = False
    """True where ``backward`` may return ``grad_output`` itself, or a view of it, as the gradient
    of an input. All other ops return arrays that nobody else holds, and these may be added to in
    place."""

    can_rebuild: bool = False
    """Whether ``rebuild`` computes the output again, from what is saved anyway, in one cheap pass
    and to the same bits (a subclass may make it a slot)."""

    backend: Any
    needs_grad: list[bool]
    edges: list[Node | None]
    saved: tuple[Any, ...] | None
    hooks: list[Callable[[Tensor], Tensor | None]] | None
    can_overwrite: bool

    def check(self, *args: Any, **kwargs: Any) -> None:
        """Raise a readable error unless the input arrays fit."""

    def forward(self, *args: Any, **kwargs: Any) -> Array:
        """Return the output array; a missing optional input is ``None``."""
        raise NotImplementedError

    def backward(self, grad_output: Array) -> tuple[Array | None, ...]:
        """Return a gradient for each input, ``None`` where ``needs_grad`` asks for none."""
        raise NotImplementedError

    def rebuild(self) -> Array:
        """Return the output once more; where ``can_rebuild`` says so, until ``backward`` ran."""
        raise NotImplementedError

    def keep(self, index: int, array: Array) -> Array | Function:
        """Return what to save of input ``index``; ``restore`` makes an array of it again.

        That is the op that made it, if it can do so once more: then the array need not live until
        the backward pass. On a device an array of bfloat16 is kept: beside convolutions on tensor
        cores, making it again would cost a larger share of a step.
        """
        node = self.edges[index]
        if not isinstance(node, Function):
            return array
        if array.dtype == BFLOAT16 and is_on_device(array):
            return array
        return node if node.can_rebuild else array

    def apply(self, *inputs: Tensor | None) -> Tensor:
        """Run the op and record it if an input requires gradients.

        Args:
            inputs: Tensors (or arrays) in the order of ``input_names``; ``None`` for a missing
                optional one.

        Returns:
            The output, connected to the inputs.

        Raises:
            TypeError: If the inputs mix dtypes or devices, or no backend computes on them.
            ValueError: If ``check`` refuses the shapes or settings.
            MemoryError: If there is no memory for the result; it names the op.
        """
        arrays: list[Array | None] = []
        edges: list[Node | None] = []
        needs_grad: list[bool] = []
        recorded = False
        recording = mode.enabled
        dtype = kind = None
        for tensor in inputs:
            if tensor is None:
                arrays.append(None)
                edges.append(None)
                needs_grad.append(False)
                continue
            if not isinstance(tensor, Tensor):
                tensor = Tensor(tensor)
            array = tensor.data
            arrays.append(array)
            if dtype is None:
                dtype, kind = array.dtype, type(array)
            elif array.dtype is not dtype:
                self._check_mixed(dtype, array.dtype, len(arrays) - 1)
            if type(array) is not kind:
                self._check_device(arrays)
            if recording and tensor.requires_grad:
                recorded = True
                node = tensor.node
                edges.append(tensor if node is None else node)
                needs_grad.append(True)
            else:
                edges.append(None)
                needs_grad.append(False)
        if dtype is not FLOAT32 and dtype is not FLOAT64:
            self._check_dtype(dtype, arrays)
        self.backend = backend_of(arrays[0])
        self.needs_grad = needs_grad
        self.edges = edges
        self.saved = ()
        self.check(*arrays)
        try:
            result = self.forward(*arrays)
        except MemoryError as error:
            raise MemoryError(f"{self.op}: {error}") from error
        output = wrap(result, self if recorded else None)
        if mode.observer is not None:
            mode.observer(self, arrays, output.data)
        if recorded:
            self.hooks = None
            if mode.recorded is not None:
                mode.recorded.append(self)
        return output

    def input_name(self, index: int) -> str:
        """Return the name of input ``index`` for an error message."""
        names = self.input_names
        return names[index] if index < len(names) else f"{names[-1]}[{index}]"

    def _check_mixed(self, first: np.dtype[Any], other: np.dtype[Any], index: int) -> None:
        name, wanted, rule = self.input_name(index), first, "all must have one dtype"
        if first == BFLOAT16 and index >= self.parameters_from:
            wanted, rule = FLOAT32, "parameters stay float32 beside bfloat16 images"
        if other != wanted:
            raise TypeError(
                f"{self.op}: {self.input_name(0)} is {first} but {name} is {other}; {rule}, so "
                f'convert {name} with .astype("{wanted}")'
            )

    def _check_device(self, arrays: list[Array | None]) -> None:
        first, last = device_of(arrays[0]), device_of(arrays[-1])
        if first != last:
            name = self.input_name(len(arrays) - 1)
            raise TypeError(
                f"{self.op}: {self.input_name(0)} is on {first!r} but {name} is on {last!r}; all "
                f'must be on one device, so move {name} with .to("{first}")'
            )

    def _check_dtype(self, dtype: np.dtype[Any] | None, arrays: list[Array | None]) -> None:
        for index, array in enumerate(arrays[self.parameters_from :], self.parameters_from):
            if array is not None and dtype == BFLOAT16:
                self._check_mixed(BFLOAT16, array.dtype, index)
        if dtype in (FLOAT32, FLOAT64, BFLOAT16):
            return
        raise TypeError(
            f"{self.op}: {self.input_name(0)} has dtype {dtype}, but ops compute on float32 and "
            f"bfloat16 (or float64, by the reference backend); convert it with .astype(np.float32)"
        )


def restore(kept: Array | Function) -> Array:
    """Return the array that ``Function.keep`` was given; a backward pass lets it go again."""
    return kept.rebuild() if isinstance(kept, Function) else kept

"""Computing a part of a network again in the backward pass instead of keeping what it computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from voxelgrad import precision, random
from voxelgrad.autograd import Function, Node
from voxelgrad.backends import backend_of
from voxelgrad.backward import gradients_of, leaves_of
from voxelgrad.grad_mode import enable_grad, mode
from voxelgrad.tensor import Array, Tensor, wrap


class _Checkpoint(Function):
    """A part of the graph that holds its inputs only, and what makes its second run the same."""

    __slots__ = ("dtype", "function", "leaves", "random_state")
    op = "checkpoint"
    # Gradients of the leaves come as the part's own ops return them.
    passes_gradient = True

    def __init__(self, function: Callable[..., Tensor]) -> None:
        self.function = function
        self.random_state = random.get_state()
        self.dtype = precision.mode.dtype

    def record(self, output: Array, inputs: list[Any], leaves: list[Tensor | None]) -> Tensor:
        """Return ``output`` as the result of this node, which sends gradients to ``leaves``."""
        self.backend = backend_of(output)
        self.leaves = leaves
        self.needs_grad = [leaf is not None for leaf in leaves]
        self.edges = [_node_of(leaf) for leaf in leaves]
        self.saved = tuple(inputs)
        self.hooks = None
        if mode.recorded is not None:
            mode.recorded.append(self)
        return wrap(output, self)

    def backward(self, grad_output: Array) -> tuple[Array | None, ...]:
        assert self.saved is not None
        inputs = [_detached(value) for value in self.saved]
        self.saved = ()
        output = self._run_again(inputs)
        # The first leaves are the inputs: this run has its own in their place.
        mine = [
            own if leaf is not None and isinstance(own, Tensor) else leaf
            for own, leaf in zip(inputs, self.leaves, strict=False)
        ]
        return tuple(gradients_of(output, grad_output, mine + self.leaves[len(inputs) :]))

    def _run_again(self, inputs: list[Any]) -> Tensor:
        """Run the function with the random numbers and the number format of the first run."""
        random_state, dtype = random.get_state(), precision.mode.dtype
        random.set_state(self.random_state)
        precision.mode.dtype = self.dtype
        mode.repeats, repeated = True, mode.repeats
        try:
            with enable_grad():
                return self.function(*inputs)
        finally:
            mode.repeats = repeated
            precision.mode.dtype = dtype
            random.set_state(random_state)


def checkpoint(function: Callable[..., Tensor], *inputs: Any) -> Tensor:
    """Return ``function(*inputs)``, keeping for the backward pass nothing but the inputs.

    The backward pass runs the function a second time and goes through what that recorded, which
    costs one more forward pass of this part. The gradients are the same bit for bit: random numbers
    (dropout) are drawn again as they were, and running statistics are updated once.

    Args:
        function: A module, or any function of tensors; parameters need not be arguments, but every
            other tensor it uses that was computed from something with ``requires_grad`` must be.
        inputs: Its arguments: tensors, and anything else.

    Returns:
        The function's result, one tensor.

    Raises:
        TypeError: If the function returns anything but a tensor.
        RuntimeError: If the function uses a computed tensor that is not among its arguments.
    """
    if not mode.enabled:
        return _checked(function(*inputs))
    node = _Checkpoint(function)
    own = [_detached(value) for value in inputs]
    mode.recorded, outer = [], mode.recorded
    try:
        output = _checked(function(*own))
        inner = mode.recorded
    finally:
        mode.recorded = outer
    if not output.requires_grad:
        return output
    reached = _leaves(output, inner)
    leaves = [
        given if any(mine is leaf for leaf in reached) else None
        for mine, given in zip(own, inputs, strict=True)
    ]
    leaves += [leaf for leaf in reached if not any(leaf is mine for mine in own)]
    return node.record(output.data, own, leaves)


def _checked(output: Any) -> Tensor:
    if not isinstance(output, Tensor):
        raise TypeError(
            f"checkpoint: the function returned {type(output).__name__}; it must return one "
            f"tensor: join several with ops.concat, or checkpoint smaller parts"
        )
    return output


def _leaves(output: Tensor, inner: list[Function]) -> list[Tensor]:
    leaves, nodes = leaves_of(output)
    known = {id(node) for node in inner}
    for node in nodes:
        if id(node) not in known:
            raise RuntimeError(
                f"checkpoint: the function uses the result of {node.op}, which was computed "
                f"outside; pass that tensor as an argument"
            )
    return leaves


def _detached(value: Any) -> Any:
    """Return a leaf in the place of a tensor; anything else as it is."""
    if not isinstance(value, Tensor):
        return value
    leaf = value.detach()
    leaf.requires_grad = value.requires_grad
    return leaf


def _node_of(leaf: Tensor | None) -> Node | None:
    return leaf if leaf is None or leaf.node is None else leaf.node

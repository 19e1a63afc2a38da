"""Running the graph backwards: each node once, when all gradients of its output have arrived."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from voxelgrad.autograd import Function, Node
from voxelgrad.backends import backend_of, device_of, refuse_while_recording
from voxelgrad.tensor import Array, Tensor, wrap

Arrive: TypeAlias = "Callable[[Tensor, Array, bool], None]"
"""What happens to a leaf's gradient; the flag says whether nobody else holds it."""


def run_backward(root: Tensor, grad: Any = None) -> None:
    """Add the gradients of ``root`` to ``.grad`` of its leaves, and free the graph.

    Nodes run in a fixed order, each once all gradients of its output have arrived; hooks see that
    sum. Gradients are released as soon as they have been used.

    Args:
        root: The tensor to differentiate, usually a loss.
        grad: Gradient of its own shape to start from; ``None`` means 1 and needs a single element.

    Raises:
        RuntimeError: If ``root`` has no graph, is not a scalar and ``grad`` is missing, or part of
            the graph was freed by an earlier backward.
        ValueError: If ``grad`` has another shape.
        TypeError: If ``grad`` has another dtype or lies on another device.
    """
    if not root.requires_grad:
        raise RuntimeError(
            "backward: this tensor does not require gradients, so there is nothing to "
            "differentiate; it was computed under no_grad(), detached, or from tensors without "
            "requires_grad=True"
        )
    _propagate(root, [_first_gradient(root, grad)], grad is None, _accumulate)


def gradients_of(root: Tensor, grad: Array, leaves: list[Tensor | None]) -> list[Array | None]:
    """Return the gradients of ``root`` with respect to ``leaves``, and free its graph.

    No ``.grad`` changes and no hooks of leaves run.
    """
    arrived: dict[Tensor, Array] = {}

    def collect(leaf: Tensor, gradient: Array, is_owned: bool) -> None:
        arrived[leaf] = gradient

    _propagate(root, [_first_gradient(root, grad)], False, collect)
    return [None if leaf is None else arrived.get(leaf) for leaf in leaves]


def leaves_of(root: Tensor) -> tuple[list[Tensor], list[Function]]:
    """Return what gradients of ``root`` would go to: the leaves, and the nodes on the way."""
    nodes = list(_count_uses(_node_of(root)))
    return (
        [node for node in nodes if isinstance(node, Tensor)],
        [node for node in nodes if isinstance(node, Function)],
    )


def _node_of(tensor: Tensor) -> Node:
    return tensor if tensor.node is None else tensor.node


def _propagate(root: Tensor, first: list[Array], is_owned: bool, arrive: Arrive) -> None:
    """Run the nodes below ``root``; ``first``, its gradient in a list, is taken out of it."""
    start = _node_of(root)
    uses = _count_uses(start)
    pending = {start: first.pop()}
    owned = {start} if is_owned else set()
    ready = [start]
    while ready:
        _run_node(ready.pop(), uses, pending, owned, ready, arrive)


def _first_gradient(root: Tensor, grad: Any) -> Array:
    data = root.data
    if grad is None:
        if data.size != 1:
            raise RuntimeError(
                f"backward: the tensor has shape {data.shape}, and only a single number can be "
                f"differentiated without a gradient to start from; reduce it with .sum() or "
                f".mean(), or pass grad of that shape"
            )
        backend = backend_of(data)
        ones: Array = backend.empty(data.shape, data.dtype)
        backend.fill(ones, 1.0)
        return ones
    array = grad.data if isinstance(grad, Tensor) else Tensor(grad).data
    if array.shape != data.shape:
        raise ValueError(
            f"backward: grad has shape {array.shape} but the tensor has shape {data.shape}; they "
            f"must be equal"
        )
    if array.dtype != data.dtype:
        raise TypeError(
            f"backward: grad is {array.dtype} but the tensor is {data.dtype}; convert grad with "
            f".astype(np.{data.dtype})"
        )
    if type(array) is not type(data) and device_of(array) != device_of(data):
        raise TypeError(
            f"backward: grad is on {device_of(array)!r} but the tensor is on {device_of(data)!r}; "
            f'move grad with .to("{device_of(data)}")'
        )
    return array


def _count_uses(start: Node) -> dict[Node, int]:
    """Return for each node that ``start`` depends on how many gradients will arrive at it."""
    uses = {start: 0}
    stack = [start]
    while stack:
        node = stack.pop()
        if isinstance(node, Tensor):
            continue
        if node.saved is None:
            raise RuntimeError(
                f"backward: the graph was freed by an earlier backward (at {node.op}); run the "
                f"forward pass again, or add the losses and call backward once on the sum"
            )
        for edge in node.edges:
            if edge is None:
                continue
            if edge in uses:
                uses[edge] += 1
            else:
                uses[edge] = 1
                stack.append(edge)
    return uses


def _run_node(
    node: Node,
    uses: dict[Node, int],
    pending: dict[Node, Array],
    owned: set[Node],
    ready: list[Node],
    arrive: Arrive,
) -> None:
    """Send the finished gradient of ``node`` one step further."""
    gradient = pending.pop(node)
    is_owned = node in owned
    if isinstance(node, Tensor):
        arrive(node, gradient, is_owned)
        return
    if node.hooks:
        gradient = _run_hooks(node.hooks, gradient)
        is_owned = False
    node.can_overwrite = is_owned
    try:
        gradients = node.backward(gradient)
    except MemoryError as error:
        raise MemoryError(f"{node.op}, backward: {error}") from error
    del gradient
    edges, node.edges, node.saved = node.edges, [], None
    parts_are_owned = not node.passes_gradient or (is_owned and len(edges) == 1)
    for index, edge in enumerate(edges):
        if edge is None:
            continue
        part = gradients[index]
        if part is None:
            raise RuntimeError(
                f"{node.op}: backward returned no gradient for {node.input_name(index)}"
            )
        if edge in pending:
            _add(node.backend, pending, owned, edge, part, parts_are_owned)
        else:
            pending[edge] = part
            if parts_are_owned:
                owned.add(edge)
        uses[edge] -= 1
        if uses[edge] == 0:
            ready.append(edge)


def _add(
    backend: Any,
    pending: dict[Node, Array],
    owned: set[Node],
    edge: Node,
    part: Array,
    part_is_owned: bool,
) -> None:
    """Add ``part`` to what waits at ``edge``, into whichever of the two nobody else holds."""
    first = pending[edge]
    if edge in owned:
        output = first
    elif part_is_owned:
        output = part
    else:
        output = backend.empty(first.shape, first.dtype)
    backend.binary_forward("add", first, part, output)
    pending[edge] = output
    owned.add(edge)


def _run_hooks(hooks: list[Callable[[Tensor], Tensor | None]], gradient: Array) -> Array:
    refuse_while_recording("a hook")
    for hook in tuple(hooks):
        result = hook(wrap(gradient, None))
        if result is None:
            continue
        replaced = result.data if isinstance(result, Tensor) else Tensor(result).data
        if replaced.shape != gradient.shape or replaced.dtype != gradient.dtype:
            raise ValueError(
                f"register_hook: the hook returned a {replaced.dtype} gradient of shape "
                f"{replaced.shape}, but it must be {gradient.dtype} of shape {gradient.shape}, or "
                f"None to leave the gradient as it is"
            )
        gradient = replaced
    return gradient


def _accumulate(leaf: Tensor, gradient: Array, is_owned: bool) -> None:
    """Add ``gradient`` to ``leaf.grad``; the first one becomes its buffer."""
    if leaf.hooks:
        gradient = _run_hooks(leaf.hooks, gradient)
        is_owned = False
    if gradient.shape != leaf.data.shape:
        raise RuntimeError(
            f"backward: a gradient of shape {gradient.shape} arrived at a tensor of shape "
            f"{leaf.data.shape}; the backward of the op that used it must return the input's shape"
        )
    if leaf.grad is None:
        leaf.grad = wrap(gradient if is_owned else _copy(gradient), None)
        return
    total = leaf.grad.data
    backend_of(total).binary_forward("add", total, gradient, total)


def _copy(array: Array) -> Array:
    backend = backend_of(array)
    output: Array = backend.empty(array.shape, array.dtype)
    backend.broadcast_to(array, output, 1.0)
    return output

"""The tensor: an array, its gradient, and the place in the graph where it came from."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

# The operators are ops. They are looked up when used, so that ops may import this module.
import voxelgrad
from voxelgrad.arrays import Array, as_array, to_dlpack
from voxelgrad.backends import device_of, is_on_device, move, refuse_while_recording
from voxelgrad.dtypes import is_floating

if TYPE_CHECKING:
    from voxelgrad.autograd import Function

__all__ = ["Array", "Hook", "HookHandle", "Tensor", "from_dlpack", "wrap"]

Hook: TypeAlias = "Callable[[Tensor], Tensor | None]"


class Tensor:
    """An array that operations on it can be differentiated with respect to.

    Args:
        data: A numpy or cupy array, or one that gives its memory through DLPack (PyTorch, JAX, ...)
            or the buffer protocol: kept with its dtype and shared, not copied, if it is
            C-contiguous; else copied once. Or another tensor (its data is shared), or numbers and
            nested lists of them, which become float32.
        requires_grad: Whether ``backward`` shall add a gradient to ``grad``. Needs a floating
            dtype.

    Attributes:
        data: The array, C-contiguous. Changing it in place between forward and backward changes the
            gradients of operations that used it, without an error.
        grad: The gradient as a tensor of the same shape, or ``None``. Only leaves (tensors not
            computed by an op) get one; it is added to by each ``backward`` until it is set to
            ``None``, in place.
        requires_grad: Whether gradients flow to this tensor.
        node: The op that computed this tensor; ``None`` for a leaf.

    Raises:
        TypeError: If ``data`` is not numeric or on another device, or ``requires_grad`` is asked of
            integers.
    """

    __slots__ = ("__weakref__", "data", "grad", "hooks", "node", "requires_grad")

    # numpy leaves `array * tensor` to the tensor's operators, which keep the graph.
    __array_ufunc__ = None

    data: Array
    grad: Tensor | None
    requires_grad: bool
    node: Function | None
    hooks: list[Hook] | None

    def __init__(self, data: Any, requires_grad: bool = False) -> None:
        array = data.data if isinstance(data, Tensor) else as_array("Tensor", data)
        if requires_grad and not is_floating(array.dtype):
            raise TypeError(
                f"Tensor: requires_grad=True needs float32, float64 or bfloat16 data, but data is "
                f"{array.dtype}; convert it with .astype(np.float32)"
            )
        self.data = array
        self.grad = None
        self.requires_grad = requires_grad
        self.node = None
        self.hooks = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The extents, such as ``(N, H, W, C)``."""
        shape: tuple[int, ...] = self.data.shape
        return shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The numpy dtype."""
        dtype: np.dtype[Any] = self.data.dtype
        return dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.data.ndim

    @property
    def size(self) -> int:
        """The number of elements."""
        return self.data.size

    @property
    def device(self) -> str:
        """Where the data lies: ``"cpu"`` (a numpy array) or ``"cuda"`` (a cupy array)."""
        return device_of(self.data)

    @property
    def is_leaf(self) -> bool:
        """Whether the tensor was made by the user (or without recording), not by a recorded op."""
        return self.node is None

    def numpy(self) -> Array:
        """Return the data as a numpy array.

        It shares memory with a tensor on the CPU. From a CUDA device it is copied, once everything
        that it depends on has been computed.
        """
        refuse_while_recording("numpy()")
        return move("numpy", self.data, "cpu")  # type: ignore[no-any-return]

    def to(self, device: str) -> Tensor:
        """Return the tensor on a device: itself if it lies there, else a copy.

        Gradients flow back through the copy.

        Args:
            device: ``"cpu"`` or ``"cuda"``, the device that is current in cupy.

        Raises:
            ValueError: If there is no such device.
            RuntimeError: If CUDA is not available, and why.
        """
        return voxelgrad.ops.to_device(self, device)

    def item(self) -> float:
        """Return the only element as a Python number.

        Raises:
            ValueError: If there is not exactly one element.
        """
        refuse_while_recording("item()")
        if self.data.size != 1:
            raise ValueError(
                f"item: the tensor has shape {self.data.shape}, that is {self.data.size} "
                f"elements; only one element can become a number: reduce with .sum() or .mean(), "
                f"or use .numpy()"
            )
        number: float = move("item", self.data, "cpu").item()
        return number

    def detach(self) -> Tensor:
        """Return a tensor that shares the data and is not connected to the graph."""
        return wrap(self.data, None)

    def backward(self, grad: Tensor | Array | None = None) -> None:
        """Add the gradients of this tensor to ``.grad`` of its leaves, and free the graph.

        Leaves are the tensors with ``requires_grad=True`` that it was computed from. A gradient
        that is already there is added to, in place.

        Args:
            grad: Gradient with respect to this tensor, of its shape; may be left out if it is a
                single number.

        Raises:
            RuntimeError: If nothing requires gradients, the tensor is not a single number and
                ``grad`` is missing, or the graph was freed by an earlier ``backward``.
            ValueError: If ``grad`` has another shape.
        """
        voxelgrad.backward.run_backward(self, grad)

    def register_hook(self, hook: Hook) -> HookHandle:
        """Call ``hook(grad)`` in each ``backward``, once the gradient of this tensor is complete.

        Args:
            hook: Gets the gradient as a tensor, which it must not change in place; what it returns,
                unless ``None``, takes the gradient's place.

        Returns:
            A handle whose ``remove()`` takes the hook away.

        Raises:
            RuntimeError: If the tensor does not require gradients.
        """
        if not self.requires_grad:
            raise RuntimeError(
                "register_hook: this tensor does not require gradients, so the hook would never "
                "be called; make it with requires_grad=True"
            )
        owner = self if self.node is None else self.node
        if owner.hooks is None:
            owner.hooks = []
        owner.hooks.append(hook)
        return HookHandle(owner.hooks, hook)

    def astype(self, dtype: Any) -> Tensor:
        """Return the tensor in another number format; see ``ops.cast``."""
        return voxelgrad.ops.cast(self, dtype)

    def reshape(self, *shape: Any) -> Tensor:
        """Return the same elements in another shape, sharing memory; see ``ops.reshape``."""
        return voxelgrad.ops.reshape(self, *shape)

    def transpose(self, *axes: Any) -> Tensor:
        """Return a copy with the axes reordered; see ``ops.transpose``."""
        return voxelgrad.ops.transpose(self, *axes)

    def sum(self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Tensor:
        """Return the sum over ``axis`` (all axes if ``None``); see ``ops.sum``."""
        return voxelgrad.ops.sum(self, axis, keepdims)

    def mean(self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Tensor:
        """Return the mean over ``axis`` (all axes if ``None``); see ``ops.mean``."""
        return voxelgrad.ops.mean(self, axis, keepdims)

    def __add__(self, other: Any) -> Tensor:
        return voxelgrad.ops.add(self, other)

    def __radd__(self, other: Any) -> Tensor:
        return voxelgrad.ops.add(other, self)

    def __sub__(self, other: Any) -> Tensor:
        return voxelgrad.ops.sub(self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return voxelgrad.ops.sub(other, self)

    def __mul__(self, other: Any) -> Tensor:
        return voxelgrad.ops.mul(self, other)

    def __rmul__(self, other: Any) -> Tensor:
        return voxelgrad.ops.mul(other, self)

    def __truediv__(self, other: Any) -> Tensor:
        return voxelgrad.ops.div(self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return voxelgrad.ops.div(other, self)

    def __neg__(self) -> Tensor:
        return voxelgrad.ops.mul(self, -1.0)

    def __abs__(self) -> Tensor:
        return voxelgrad.ops.abs(self)

    def __pow__(self, exponent: float) -> Tensor:
        if exponent == 2:
            return voxelgrad.ops.square(self)
        if exponent == 0.5:
            return voxelgrad.ops.sqrt(self)
        raise ValueError(
            f"power: the exponent is {exponent!r}; only 2 and 0.5 are offered: multiply, or use "
            f"ops.exp and ops.log"
        )

    def __getitem__(self, key: Any) -> Tensor:
        return voxelgrad.ops.getitem(self, key)

    def __len__(self) -> int:
        if self.data.ndim == 0:
            raise TypeError("len() of a tensor without axes (shape ())")
        return len(self.data)

    def __bool__(self) -> bool:
        refuse_while_recording("the truth of a tensor")
        if self.data.size != 1:
            raise ValueError(
                f"the truth of a tensor of shape {self.data.shape} is not defined; compare "
                f".numpy() and use .any() or .all()"
            )
        return bool(move("bool", self.data, "cpu").item())

    def __float__(self) -> float:
        return float(self.item())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        refuse_while_recording("a numpy array of a tensor")
        if is_on_device(self.data):
            raise TypeError(
                "Tensor: data on 'cuda' does not become a numpy array unasked; call .numpy(), "
                "which copies it"
            )
        if dtype is None or dtype == self.data.dtype:
            return self.data.copy() if copy else self.data
        if copy is False:
            raise ValueError(
                f"Tensor: {self.data.dtype} data has to be copied to become {np.dtype(dtype)}, but "
                f"copy=False; leave copy or dtype out"
            )
        return self.data.astype(dtype)

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        refuse_while_recording("DLPack")
        if is_on_device(self.data):
            return self.data.__dlpack__(stream=stream)
        return to_dlpack(
            self.data, stream=stream, max_version=max_version, dl_device=dl_device, copy=copy
        )

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.data.__dlpack_device__()

    def __repr__(self) -> str:
        values = move("repr", self.data, "cpu")
        text = np.array2string(values, separator=", ", prefix="Tensor(", threshold=100)
        flags = ", device='cuda'" if is_on_device(self.data) else ""
        flags += ", requires_grad=True" if self.requires_grad else ""
        return f"Tensor({text}, shape={self.data.shape}, dtype={self.data.dtype}{flags})"


class HookHandle:
    """What ``register_hook`` returns: a way to take the hook away again."""

    def __init__(self, hooks: list[Hook], hook: Hook) -> None:
        self._hooks = hooks
        self._hook: Hook | None = hook

    def remove(self) -> None:
        """Take the hook away; doing so twice is harmless."""
        if self._hook is not None:
            self._hooks.remove(self._hook)
            self._hook = None


def wrap(array: Array, node: Function | None) -> Tensor:
    """Return a tensor around ``array`` that ``node`` computed, without looking at it."""
    tensor = Tensor.__new__(Tensor)
    tensor.data = array
    tensor.grad = None
    tensor.requires_grad = node is not None
    tensor.node = node
    tensor.hooks = None
    return tensor


def from_dlpack(data: Any, copy: bool | None = None) -> Tensor:
    """Return a tensor that shares the memory of another library's array.

    Args:
        data: Anything that gives its memory through DLPack or the buffer protocol, in memory that
            the processor reads: of numpy, PyTorch, JAX, ...; it keeps its dtype. If it is not
            C-contiguous, it is copied once.
        copy: True copies always, False never.

    Raises:
        TypeError: If the memory cannot be shared: another device, a graph of gradients, bfloat16
            (which numpy's DLPack does not know).
        ValueError: If ``copy`` is False and the layout demands a copy.
    """
    if isinstance(data, Tensor):
        return wrap(data.data.copy() if copy else data.data, None)
    return Tensor(as_array("from_dlpack", data, copy))

"""Moving tensors between the CPU and a CUDA device."""

from __future__ import annotations

from voxelgrad.autograd import Function
from voxelgrad.backends import device_of, move
from voxelgrad.tensor import Array, Tensor, wrap


class ToDevice(Function):
    """A copy on another device; the gradient is copied back."""

    __slots__ = ("device", "source")
    op = "to_device"

    def __init__(self, device: str) -> None:
        self.device = device

    def forward(self, input: Array) -> Array:
        self.source = device_of(input)
        copied: Array = move(self.op, input, self.device)
        return copied

    def backward(self, grad_output: Array) -> tuple[Array | None, ...]:
        return (move(self.op, grad_output, self.source),)


def to_device(input: Tensor, device: str) -> Tensor:
    """Return the tensor on a device: itself if it lies there, else a copy.

    Args:
        input: A tensor of any shape and dtype.
        device: ``"cpu"`` or ``"cuda"``.

    Raises:
        ValueError: If there is no such device.
        RuntimeError: If CUDA is not available, and why.
    """
    if device == device_of(input.data):
        return input
    if not input.requires_grad:
        return wrap(move("to_device", input.data, device), None)
    return ToDevice(device).apply(input)

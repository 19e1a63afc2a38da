"""Which of a model's arrays lie otherwise in PyTorch, and how they are turned.

PyTorch has a convolution's weight as (out, in, *kernel), a transposed one's as (in, out, *kernel),
voxelgrad both as (out, *kernel, in). A linear layer behind a flattened image sees its pixels in
another order, channels first there and last here: its columns change places, for which the image's
shape must be known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelgrad import nn
from voxelgrad.backends import move
from voxelgrad.interop.onnx.layout import LAST, PLAIN, Layout
from voxelgrad.interop.pairing import arrays_of, misfit
from voxelgrad.nn.conv import Convolution, TransposedConvolution

_PASSES_ORDER = (nn.Dropout, nn.Identity, nn.ReLU, nn.LeakyReLU, nn.ELU, nn.Sigmoid, nn.Tanh)
_PLAIN_NORMS = (nn.BatchNorm, nn.InstanceNorm, nn.GroupNorm)


@dataclass(frozen=True)
class Slot:
    """A place of the model for an array.

    Attributes:
        name: Its dotted name.
        array: What is there now, in voxelgrad's layout; written to in place.
        layout: How it is turned.
        image: (C, *spatial) of the image that was flattened before this linear weight.
        needs_image: Whether the weight follows a Flatten, and ``image`` is not known.
    """

    name: str
    array: NDArray[Any]
    layout: Layout = PLAIN
    image: tuple[int, ...] = ()
    needs_image: bool = False

    def to_torch(self) -> NDArray[Any]:
        """Return the array in PyTorch's layout, on the CPU."""
        array = move("to_torch", self.array, "cpu")
        if self.image:
            channels, *spatial = self.image
            return _reordered(array, (*spatial, channels), -1, 1)
        return self.layout.restore(array)  # type: ignore[no-any-return]

    def store(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return an array that has PyTorch's layout in voxelgrad's."""
        if self.image:
            return _reordered(array, self.image, 1, -1)
        return self.layout.store(array)  # type: ignore[no-any-return]

    def problem(self, array: NDArray[Any]) -> str:
        """Return why an array cannot go there; nothing if it can."""
        if unfit := misfit(array, self.to_torch().shape, self.array, "PyTorch"):
            return unfit
        if self.needs_image:
            return (
                f"follows a Flatten, which orders pixels otherwise in PyTorch; say what is "
                f"flattened with flattened={{{self.name!r}: (C, H, W)}}"
            )
        return ""


def slots(model: nn.Module, flattened: Mapping[str, tuple[int, ...]]) -> list[Slot]:
    """Return the places for arrays, layer by layer: parameters, then buffers, as PyTorch has them.

    Args:
        model: Any module.
        flattened: Name of a linear weight -> (C, *spatial) of the image flattened before it.

    Raises:
        ValueError: If ``flattened`` names no linear weight or a shape that does not fit.
    """
    after_flatten = {id(layer.weight) for layer in _behind_flatten(model)}
    found: list[Slot] = []
    for full, module, name, array, owner in arrays_of(model):
        image = tuple(flattened.get(full, ()))
        layout = _layout(module) if name == "weight" else PLAIN
        found.append(Slot(full, array, layout, image, id(owner) in after_flatten and not image))
    _check_images(found, flattened)
    return found


def _layout(module: nn.Module) -> Layout:
    if isinstance(module, TransposedConvolution):
        return Layout("transposed", module.groups)
    return LAST if isinstance(module, Convolution) else PLAIN


def _behind_flatten(model: nn.Module) -> Iterator[nn.Linear]:
    """Yield the linear layers of any Sequential that get a flattened image of several pixels."""
    for container in model.modules():
        if not isinstance(container, nn.Sequential):
            continue
        is_pixel = is_flat = False
        for layer in container:
            if isinstance(layer, nn.Flatten):
                is_flat = not is_pixel
            elif isinstance(layer, nn.Linear):
                if is_flat:
                    yield layer
                is_flat = False
            elif not isinstance(layer, _PASSES_ORDER):
                is_pixel = _gives_pixel(layer) or (is_pixel and isinstance(layer, _PLAIN_NORMS))


def _gives_pixel(layer: nn.Module) -> bool:
    if isinstance(layer, (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)):
        return bool(np.all(np.asarray(layer.output_size) == 1))
    return isinstance(layer, (nn.GlobalAvgPool, nn.GlobalMaxPool))


def _check_images(places: list[Slot], flattened: Mapping[str, tuple[int, ...]]) -> None:
    known = {slot.name: slot.array for slot in places}
    for name, image in flattened.items():
        if name not in known or known[name].ndim != 2:
            raise ValueError(
                f"flattened: {name!r} is not the weight of a linear layer of the model"
            )
        columns = known[name].shape[1]
        if int(np.prod(image)) != columns or len(image) < 2:
            raise ValueError(
                f"flattened: {name!r} has {columns} columns, but an image of shape {tuple(image)} "
                f"(channels, *spatial) has {int(np.prod(image))} values"
            )


def _reordered(
    array: NDArray[Any], image: tuple[int, ...], source: int, target: int
) -> NDArray[Any]:
    """Return a matrix whose columns are an image with one of its axes moved."""
    images = array.reshape(len(array), *image)
    return np.ascontiguousarray(np.moveaxis(images, source, target)).reshape(array.shape)

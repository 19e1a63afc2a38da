"""The base of the ready models, and the list of them by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from voxelgrad import ops
from voxelgrad.grad_mode import no_grad
from voxelgrad.nn.module import Module, device_of
from voxelgrad.tensor import Tensor

if TYPE_CHECKING:
    from voxelgrad.models.summary import Summary

_known: dict[str, type[Model]] = {}
ModelType = TypeVar("ModelType", bound="type[Model]")


class Model(Module):
    """A network that can be saved and built again from its file.

    A subclass sets ``config`` first thing in ``__init__`` and is made known with `register`.

    Attributes:
        config: The arguments of ``__init__`` by name, as JSON can hold them.
        metadata: Anything else that belongs to the model and that JSON can hold, such as class
            names or the standardisation of its input; saved with it.
    """

    config: dict[str, Any]

    def __init__(self, **config: Any) -> None:
        self.config = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in config.items()
        }
        self.metadata: dict[str, Any] = {}

    def predict_proba(self, input: Any) -> NDArray[Any]:
        """Return class probabilities, in evaluation mode and without recording gradients.

        Args:
            input: Tensor or array, (N, *spatial, in_channels). An array is copied to the model's
                device, a tensor has to lie there.

        Returns:
            Softmax over the last axis, (N, ..., K), as a numpy array; for a model with one output
            its sigmoid.
        """
        modes = {module: module.training for module in self.modules()}
        self.eval()
        try:
            with no_grad():
                given = input if isinstance(input, Tensor) else Tensor(input).to(device_of(self))
                logits = self(given)
                scores = ops.sigmoid(logits) if logits.shape[-1] == 1 else ops.softmax(logits)
        finally:
            for module, mode in modes.items():
                module.training = mode
        return np.asarray(scores.numpy())

    def summary(self, input_shape: tuple[int, ...]) -> Summary:
        """Return a table of the layers with output shapes, parameters and FLOPs; ``print`` it.

        Args:
            input_shape: Shape of an input with its batch axis, (N, *spatial, in_channels).

        Raises:
            ValueError: If the model does not take this shape.
        """
        from voxelgrad.models.summary import summary

        return summary(self, input_shape)


def register(cls: ModelType) -> ModelType:
    """Make a model class known to ``voxelgrad.load``; use it as a decorator.

    Raises:
        ValueError: If another class of that name is known.
    """
    name = cls.__name__
    if _known.get(name, cls) is not cls:
        raise ValueError(f"register: a model called {name!r} is already known; choose another name")
    _known[name] = cls
    return cls


def find(name: str) -> type[Model]:
    """Return the model class of this name.

    Raises:
        ValueError: If it is unknown.
    """
    if name not in _known:
        raise ValueError(
            f"model {name!r} is unknown; known are {', '.join(sorted(_known))}; import the "
            "module that decorates it with voxelgrad.models.register first"
        )
    return _known[name]


def is_known(cls: type[Module]) -> bool:
    """Return whether this very class is registered."""
    return _known.get(cls.__name__) is cls

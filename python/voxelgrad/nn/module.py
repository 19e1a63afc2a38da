"""The base of layers and models: finds its parameters, saves and restores them, prints itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from voxelgrad import backends
from voxelgrad.backends import copy_into, move
from voxelgrad.nn.parameter import Parameter
from voxelgrad.tensor import Tensor

ModuleType = TypeVar("ModuleType", bound="Module")
ForwardHook = Callable[["Module", tuple[Any, ...], Tensor], None]


class Incompatible(NamedTuple):
    """What ``load_state_dict(strict=False)`` left alone: names the file lacked or had too many."""

    missing: list[str]
    unexpected: list[str]


class Module:
    """A layer or a model: attributes that are parameters, buffers or other modules form a tree.

    Write the attributes in ``__init__`` and the computation in ``forward``; there is nothing to
    register. A parameter is any attribute that is a `Parameter`, a child any attribute that is a
    `Module` (several of them go into a `ModuleList`), a buffer an array that ``register_buffer``
    was told about. Names are dotted paths through the tree, in the order of assignment.
    """

    forward: Callable[..., Tensor]
    training: bool = True
    _buffer_names: tuple[str, ...] = ()
    _forward_hooks: tuple[ForwardHook, ...] = ()

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        """Compute ``forward`` and tell the forward hooks, if any."""
        output = self.forward(*args, **kwargs)
        for hook in self._forward_hooks:
            hook(self, args, output)
        return output

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; a plain list of modules is refused, its parameters would not train."""
        if isinstance(value, (list, tuple, dict)) and _holds_trainable(value):
            raise TypeError(
                f"{type(self).__name__}.{name}: a {type(value).__name__} hides modules or "
                "parameters from training and saving; use nn.ModuleList, or one attribute for each"
            )
        object.__setattr__(self, name, value)

    def register_buffer(self, name: str, array: NDArray[Any]) -> None:
        """Keep an array that is saved with the module but not trained, as attribute ``name``.

        Args:
            name: The attribute's name, without dots.
            array: The array; the module updates it in place.

        Raises:
            ValueError: If the name is not an identifier or is already taken.
            TypeError: If it is not a numpy array.
        """
        if not name.isidentifier() or name in vars(self):
            raise ValueError(
                f"register_buffer: name {name!r} must be a new attribute name without dots"
            )
        if not isinstance(array, np.ndarray):
            raise TypeError(
                f"register_buffer: {name} is {type(array).__name__}; give a numpy array"
            )
        setattr(self, name, array)
        self._buffer_names = (*self._buffer_names, name)

    def register_forward_hook(self, hook: ForwardHook) -> Callable[[], None]:
        """Call ``hook(module, inputs, output)`` after every forward pass.

        Returns:
            A function without arguments that removes the hook again.
        """
        self._forward_hooks = (*self._forward_hooks, hook)

        def remove() -> None:
            self._forward_hooks = tuple(other for other in self._forward_hooks if other is not hook)

        return remove

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield (name, module) for the modules directly below this one."""
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value

    def children(self) -> Iterator[Module]:
        """Yield the modules directly below this one."""
        return (child for _, child in self.named_children())

    def named_modules(self) -> Iterator[tuple[str, Module]]:
        """Yield (dotted name, module) for this module (named "") and all below it, each once."""
        return _walk(self, "", set())

    def modules(self) -> Iterator[Module]:
        """Yield this module and all below it, each once."""
        return (module for _, module in self.named_modules())

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Yield (dotted name, parameter), each parameter once."""
        seen: set[int] = set()
        for prefix, module in self.named_modules():
            for name, value in vars(module).items():
                if isinstance(value, Parameter) and id(value) not in seen:
                    seen.add(id(value))
                    yield _dotted(prefix, name), value

    def parameters(self) -> Iterator[Parameter]:
        """Yield every parameter once, in a fixed order."""
        return (parameter for _, parameter in self.named_parameters())

    def named_buffers(self) -> Iterator[tuple[str, NDArray[Any]]]:
        """Yield (dotted name, array) for every buffer."""
        for prefix, module in self.named_modules():
            for name in module._buffer_names:
                yield _dotted(prefix, name), getattr(module, name)

    def buffers(self) -> Iterator[NDArray[Any]]:
        """Yield every buffer."""
        return (array for _, array in self.named_buffers())

    def num_parameters(self) -> int:
        """Return the number of trainable values."""
        return sum(parameter.size for parameter in self.parameters())

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Return a snapshot: dotted name -> copy of the array, for parameters and buffers."""
        arrays = {name: parameter.data for name, parameter in self.named_parameters()}
        arrays.update(self.named_buffers())
        return {name: move("state_dict", array, "cpu").copy() for name, array in arrays.items()}

    def load_state_dict(
        self, state: Mapping[str, NDArray[Any]], strict: bool = True
    ) -> Incompatible:
        """Copy arrays into the parameters and buffers of the same names.

        Nothing is changed unless everything fits.

        Args:
            state: Dotted name -> array, as from ``state_dict``.
            strict: Whether missing and unexpected names are errors.

        Returns:
            The names that were missing and unexpected (both empty if ``strict``).

        Raises:
            ValueError: Listing every missing and unexpected name and every shape that differs.
        """
        targets = {name: parameter.data for name, parameter in self.named_parameters()}
        targets.update(self.named_buffers())
        missing = [name for name in targets if name not in state]
        unexpected = [name for name in state if name not in targets]
        shared = {name: np.asarray(state[name]) for name in targets if name in state}
        problems = [
            f"{name} has shape {array.shape}, the module needs {targets[name].shape}"
            for name, array in shared.items()
            if array.shape != targets[name].shape
        ]
        problems += [
            f"{name} has dtype {array.dtype}, the module needs {targets[name].dtype}"
            for name, array in shared.items()
            if not np.can_cast(array.dtype, targets[name].dtype, "same_kind")
        ]
        if strict:
            problems += [f"{name} is missing" for name in missing]
            problems += [f"{name} is unexpected" for name in unexpected]
        if problems:
            raise ValueError(_mismatch_message(type(self).__name__, problems))
        for name, array in shared.items():
            copy_into(targets[name], array)
        return Incompatible(missing, unexpected)

    def train(self: ModuleType, mode: bool = True) -> ModuleType:
        """Switch the whole tree to training (batch statistics, dropout) and return the module."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self: ModuleType) -> ModuleType:
        """Switch the whole tree to evaluation and return the module."""
        return self.train(False)

    def to(self: ModuleType, device: str) -> ModuleType:
        """Move parameters, their gradients and buffers in place and return the module.

        Make optimizers after it: their arrays lie where the parameters were.

        Args:
            device: ``"cpu"`` or ``"cuda"``.

        Raises:
            ValueError: If there is no such device.
            RuntimeError: If CUDA is not available, and why.
        """
        for parameter in self.parameters():
            parameter.data = move("Module.to", parameter.data, device)
            if parameter.grad is not None:
                parameter.grad = parameter.grad.to(device)
        for module in self.modules():
            for name in module._buffer_names:
                setattr(module, name, move("Module.to", getattr(module, name), device))
        return self

    def astype(self: ModuleType, dtype: DTypeLike) -> ModuleType:
        """Convert parameters and floating-point buffers in place and return the module.

        float64 runs on the reference backend: slow, but exact enough for gradient checks.

        Args:
            dtype: float32 or float64.

        Raises:
            ValueError: If it is another dtype.
        """
        wanted = np.dtype(dtype)
        if wanted not in (np.dtype(np.float32), np.dtype(np.float64)):
            raise ValueError(f"Module.astype: dtype is {wanted}; choose float32 or float64")
        for parameter in self.parameters():
            parameter.data = parameter.data.astype(wanted)
            parameter.grad = None
        for module in self.modules():
            module._convert_buffers(wanted)
        return self

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for parameter in self.parameters():
            parameter.grad = None

    def apply(self: ModuleType, function: Callable[[Module], object]) -> ModuleType:
        """Call ``function`` on every module of the tree, this one first, and return this one."""
        for module in list(self.modules()):
            function(module)
        return self

    def extra_repr(self) -> str:
        """Return the settings that ``repr`` shows between the parentheses."""
        return ""

    def flops(self, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> int:
        """Return the floating-point operations of this layer alone, children excluded.

        Convolutions and linear layers count two for each multiply-add; all else counts zero.
        """
        return 0

    def __repr__(self) -> str:
        """Return the tree of modules with their settings."""
        name, settings = type(self).__name__, self.extra_repr()
        lines = [
            f"({label}): {child!r}".replace("\n", "\n  ") for label, child in self.named_children()
        ]
        if not lines:
            return f"{name}({settings})"
        body = "".join(f"\n  {line}" for line in ([settings] if settings else []) + lines)
        return f"{name}({body}\n)"

    def _convert_buffers(self, dtype: np.dtype[Any]) -> None:
        for name in self._buffer_names:
            array = getattr(self, name)
            if np.issubdtype(array.dtype, np.floating):
                setattr(self, name, array.astype(dtype))


def device_of(module: Module) -> str:
    """Return where a module computes: where its first parameter or buffer lies, else "cpu"."""
    arrays = chain((parameter.data for parameter in module.parameters()), module.buffers())
    return next((backends.device_of(array) for array in arrays), "cpu")


def _walk(module: Module, prefix: str, seen: set[int]) -> Iterator[tuple[str, Module]]:
    if id(module) in seen:
        return
    seen.add(id(module))
    yield prefix, module
    for name, child in module.named_children():
        yield from _walk(child, _dotted(prefix, name), seen)


def _dotted(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def _holds_trainable(container: Any) -> bool:
    values = container.values() if isinstance(container, dict) else container
    return any(isinstance(value, (Module, Parameter)) for value in values)


def _mismatch_message(owner: str, problems: list[str], shown: int = 20) -> str:
    lines = [f"load_state_dict: the state does not fit this {owner}:", *problems[:shown]]
    if len(problems) > shown:
        lines.append(f"and {len(problems) - shown} more")
    lines.append("build the module with the arguments it was saved with")
    return "\n  ".join(lines)

"""Modules that hold other modules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from voxelgrad.nn.module import Module
from voxelgrad.tensor import Tensor


class _Container(Module):
    """Modules under the names "0", "1", ... in order."""

    def _fill(self, modules: Iterable[Module]) -> None:
        for module in modules:
            self.append(module)

    def append(self, module: Module) -> None:
        """Add a module at the end.

        Raises:
            TypeError: If it is not a module.
        """
        if not isinstance(module, Module):
            raise TypeError(
                f"{type(self).__name__}: item {len(self)} is {type(module).__name__}; give a Module"
            )
        setattr(self, str(len(self)), module)

    def __len__(self) -> int:
        """Return the number of modules."""
        return sum(1 for _ in self.children())

    def __iter__(self) -> Iterator[Module]:
        """Iterate over the modules in order."""
        return self.children()

    def __getitem__(self, index: int) -> Module:
        """Return a module by position, negative ones from the end."""
        return list(self.children())[index]


class Sequential(_Container):
    """Modules one after the other: the output of each is the input of the next.

    Args:
        modules: The modules in order.

    Raises:
        TypeError: If one is not a module.
    """

    def __init__(self, *modules: Module) -> None:
        self._fill(modules)

    def forward(self, input: Tensor) -> Tensor:
        """Return the last module's output."""
        for module in self.children():
            input = module(input)
        return input


class ModuleList(_Container):
    """A list of modules whose parameters are found; it computes nothing itself.

    Args:
        modules: The modules in order.

    Raises:
        TypeError: If one is not a module.
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        self._fill(modules)

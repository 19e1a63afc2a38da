"""A table of a model's layers: output shapes, parameters and work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from voxelgrad import backends
from voxelgrad.grad_mode import no_grad
from voxelgrad.nn.module import Module
from voxelgrad.nn.parameter import Parameter
from voxelgrad.tensor import Tensor


@dataclass(frozen=True)
class Row:
    """One call of one layer.

    Attributes:
        name: Dotted name in the model.
        kind: Class of the layer.
        output_shape: Shape of what it returned, batch axis included.
        parameters: Trainable values that the layer itself owns; 0 where it is called again.
        flops: Floating-point operations of the forward pass, two for each multiply-add of
            convolutions and linear layers; all else counts zero.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    flops: int


@dataclass(frozen=True)
class Summary:
    """The layers in the order of their calls; as a string it is a table.

    Attributes:
        model: Class of the model.
        input_shape: Shape of the input, batch axis included.
        rows: One for each call of a layer that has no children or owns parameters.
        parameters: Trainable values of the whole model.
        flops: Floating-point operations of one forward pass, as in `Row`.
    """

    model: str
    input_shape: tuple[int, ...]
    rows: tuple[Row, ...]
    parameters: int
    flops: int

    def __str__(self) -> str:
        """Return the table with totals below."""
        cells = [("layer", "kind", "output shape", "parameters", "FLOPs")]
        cells += [
            (row.name, row.kind, _shape(row.output_shape), f"{row.parameters:,}", _si(row.flops))
            for row in self.rows
        ]
        total = ("total", self.model, "", f"{self.parameters:,}", _si(self.flops))
        widths = [max(len(line[i]) for line in [*cells, total]) for i in range(5)]
        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
        lines = [_line(line, widths) for line in cells]
        title = f"{self.model}, input {_shape(self.input_shape)}"
        return "\n".join([title, rule, lines[0], rule, *lines[1:], rule, _line(total, widths)])


def summary(model: Module, input_shape: tuple[int, ...]) -> Summary:
    """Describe what a model does with an input of a given shape, without computing it.

    Args:
        model: Any module that takes one tensor.
        input_shape: Shape of that tensor with its batch axis, such as (1, 240, 240, 4).

    Returns:
        The table; ``print`` it, or read its rows and totals.

    Raises:
        ValueError: If the model does not take this shape.
    """
    names = {id(module): name or "(model)" for name, module in model.named_modules()}
    rows: list[Row] = []
    counted: set[int] = set()

    def record(module: Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        own = [value for value in vars(module).values() if isinstance(value, Parameter)]
        fresh = [parameter for parameter in own if id(parameter) not in counted]
        counted.update(id(parameter) for parameter in fresh)
        size = sum(parameter.size for parameter in fresh)
        flops = module.flops(inputs[0].shape, output.shape)
        rows.append(Row(names[id(module)], type(module).__name__, output.shape, size, flops))

    shape = tuple(input_shape)
    with _dry_run(model, record), no_grad():
        model(Tensor(backends.load("dry").empty(shape)))
    return Summary(
        type(model).__name__,
        shape,
        tuple(rows),
        model.num_parameters(),
        sum(row.flops for row in rows),
    )


@contextmanager
def _dry_run(model: Module, record: Any) -> Iterator[None]:
    """Watch all layers of a model in evaluation mode, with a backend that computes nothing."""
    modes = {module: module.training for module in model.modules()}
    on_device = _stand_ins(model)
    watched = [m for m in modes if _owns_parameters(m) or not any(m.children())]
    removals = [module.register_forward_hook(record) for module in watched]
    model.eval()
    try:
        with backends.use("dry"):
            yield
    finally:
        for remove in removals:
            remove()
        for module, mode in modes.items():
            module.training = mode
        for owner, name, array in on_device:
            setattr(owner, name, array)


def _stand_ins(model: Module) -> list[tuple[Any, str, Any]]:
    """Put arrays of the dry backend in the place of a device's; return (owner, name, array)."""
    empty = backends.load("dry").empty
    places: list[tuple[Any, str, Any]] = [(p, "data", p.data) for p in model.parameters()]
    places += [(m, name, getattr(m, name)) for m in model.modules() for name in m._buffer_names]
    moved = [place for place in places if backends.is_on_device(place[2])]
    for owner, name, array in moved:
        setattr(owner, name, empty(array.shape, array.dtype))
    return moved


def _owns_parameters(module: Module) -> bool:
    return any(isinstance(value, Parameter) for value in vars(module).values())


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(str(size) for size in shape)


def _si(count: int) -> str:
    if count == 0:
        return "-"
    value, units = float(count), ["", " K", " M", " G", " T", " P"]
    while value >= 1000.0 and len(units) > 1:
        value, units = value / 1000.0, units[1:]
    decimals = 0 if value >= 100.0 or count < 1000 else 1 if value >= 10.0 else 2
    return f"{value:.{decimals}f}{units[0]}"


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    left = [cell.ljust(width) for cell, width in zip(cells[:3], widths[:3], strict=True)]
    right = [cell.rjust(width) for cell, width in zip(cells[3:], widths[3:], strict=True)]
    return "  ".join(left + right).rstrip()

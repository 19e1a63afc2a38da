"""``voxelgrad.interop.onnx.export``: from any module to an ONNX file, by watching its ops run."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelgrad.autograd import Function
from voxelgrad.files import write_atomically
from voxelgrad.grad_mode import no_grad, observe
from voxelgrad.nn.module import Module, device_of
from voxelgrad.tensor import Tensor

OLDEST, NEWEST = 17, 26
"""Operator sets that can be written."""

Shape = tuple[int, ...]


def export(
    model: Module,
    path: str | os.PathLike[str],
    input_shape: Sequence[int] | Sequence[Sequence[int]],
    opset: int = 17,
    dynamic: bool = True,
) -> None:
    """Write a module as an ONNX file that computes what it computes in evaluation mode.

    The module runs once on random numbers while its ops are watched, so any module will do whose
    course does not depend on the values. Images of the file are channels first, as ONNX has them:
    ``(N, *spatial, C)`` here is ``(N, C, *spatial)`` there. The file is written under a temporary
    name and renamed.

    Args:
        model: Any module; its parameters become the file's weights under their own names.
        path: The file, usually ``*.onnx``; an existing one is replaced.
        input_shape: Shape of the input as the module takes it, batch included, such as
            ``(1, 240, 240, 4)``; or a list of them if it takes several inputs.
        opset: Version of ONNX's operator set, 17 or newer.
        dynamic: Whether batch and image size may vary; an axis whose length the module's ops have
            fixed (a flattened image before a linear layer, a crop) stays fixed.

    Raises:
        ValueError: If the module lies on a CUDA device, does not take this shape, uses an op that
            ONNX cannot express, or the file cannot be written.
        ImportError: If the onnx package is missing.
    """
    if not isinstance(opset, int) or not OLDEST <= opset <= NEWEST:
        raise ValueError(f"export: opset is {opset!r}; choose {OLDEST} to {NEWEST}")
    if device_of(model) != "cpu":
        raise ValueError(
            f"export: the model is on {device_of(model)!r}; its ops are watched on the CPU, so "
            f'move it with model.to("cpu")'
        )
    shapes = _shapes(input_shape)
    try:
        from voxelgrad.interop.onnx.exporters import write_graph
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != "onnx":
            raise
        raise ImportError(
            "writing ONNX files needs the onnx package; install it with pip install "
            "'voxelgrad[onnx]'"
        ) from error
    inputs, steps, outputs = _watch(model, shapes)
    names = {id(parameter.data): name for name, parameter in model.named_parameters()}
    names.update((id(array), name) for name, array in model.named_buffers())
    content = write_graph(type(model).__name__, inputs, steps, outputs, names, opset, dynamic)
    write_atomically(path, content)


Step = tuple[Function, "list[NDArray[Any] | None]", NDArray[Any]]


def _watch(
    model: Module, shapes: list[Shape]
) -> tuple[list[NDArray[Any]], list[Step], list[NDArray[Any]]]:
    """Run the model; return its inputs, every op with its arrays, and its outputs."""
    dtypes = {parameter.dtype for parameter in model.parameters()}
    dtype = dtypes.pop() if len(dtypes) == 1 else np.dtype(np.float32)
    rng = np.random.default_rng(0)
    inputs = [rng.standard_normal(shape).astype(dtype) for shape in shapes]
    steps: list[Step] = []
    with (
        _evaluation(model),
        no_grad(),
        observe(lambda function, arrays, output: steps.append((function, arrays, output))),
    ):
        result = model(*(Tensor(array) for array in inputs))
    results = result if isinstance(result, tuple) else (result,)
    if not all(isinstance(item, Tensor) for item in results):
        raise ValueError(f"export: the {type(model).__name__} returns something else than tensors")
    return inputs, steps, [item.data for item in results]


@contextmanager
def _evaluation(model: Module) -> Iterator[None]:
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def _shapes(input_shape: Any) -> list[Shape]:
    listed = list(input_shape) if isinstance(input_shape, (tuple, list)) else []
    shapes = listed if listed and isinstance(listed[0], (tuple, list)) else [listed]
    for shape in shapes:
        if not shape or not all(isinstance(n, (int, np.integer)) and n > 0 for n in shape):
            raise ValueError(
                f"export: input_shape is {input_shape!r}; give the shape of an input with its "
                f"batch axis, such as (1, 240, 240, 4)"
            )
    return [tuple(int(n) for n in shape) for shape in shapes]

"""``voxelgrad.interop.onnx.load``: from an ONNX file to a module."""

from __future__ import annotations

import os
from pathlib import Path

from voxelgrad.interop.onnx.model import OnnxModel


def load(path: str | os.PathLike[str]) -> OnnxModel:
    """Import an ONNX file as a module, in evaluation mode.

    Its images are channels last, ``(N, *spatial, C)``, like those of any other module, with any
    batch and image size that the network itself allows; ``model.inputs`` says what goes in. The
    weights are trainable: call ``train()`` and go on training, ``voxelgrad.save`` to keep it.

    Args:
        path: The file. Weights that it keeps in other files must lie in its folder.

    Raises:
        ValueError: If the file is missing, damaged, no ONNX, or uses what is not understood; the
            message names file, node, operator and rule.
        ImportError: If the onnx package is missing.
    """
    try:
        from voxelgrad.interop.onnx.reader import read_file
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != "onnx":
            raise
        raise ImportError(
            "reading ONNX files needs the onnx package; install it with pip install "
            "'voxelgrad[onnx]'"
        ) from error
    graph, arrays = read_file(path)
    model = OnnxModel(graph.as_json(), Path(path).name)
    model.set_arrays(arrays)
    model.eval()
    return model

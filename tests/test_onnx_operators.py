"""ONNX's test vectors of the other operators that are understood, in the dtypes that we have."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="reads ONNX's test vectors, and onnx is not installed")

import onnx
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests
from onnx.backend.test.runner import Runner

import onnx_backend
from voxelgrad.interop.onnx.backend import VoxelgradBackend
from voxelgrad.interop.onnx.operators import OPERATORS

DTYPES = {np.dtype(t) for t in (np.float32, np.float64, np.int32, np.int64, np.uint8, np.bool_)}
REFUSED = {
    "Pow": "a tensor as exponent",
    "Mod": "floats",
    "ReduceMax": "nothing to take the maximum of",
    "ReduceMin": "nothing to take the minimum of",
}
"""Operators of which some cases must end in an error, and what those cases hold."""


def _cases() -> dict[str, tuple[Any, Path]]:
    """Return model and folder of the cases with one node of an operator that is not counted yet."""
    found = {}
    for case in load_model_tests(kind="node"):
        model = onnx.load(Path(case.model_dir) / "model.onnx")
        operators = {node.op_type for node in model.graph.node}
        wanted = operators <= set(OPERATORS) - onnx_backend.OPERATORS - {"Cast"}
        tensors = [port.type for port in (*model.graph.input, *model.graph.output)]
        wanted = wanted and 6 <= model.opset_import[0].version <= 26
        if wanted and len(model.graph.node) == 1 and all(map(_has_our_dtype, tensors)):
            found[case.name] = (model, Path(case.model_dir))
    return found


def _has_our_dtype(kind: Any) -> bool:
    number = kind.tensor_type.elem_type
    return bool(number) and onnx.helper.tensor_dtype_to_np_dtype(number) in DTYPES


def _tensors(folder: Path, prefix: str) -> list[np.ndarray]:
    files = sorted(folder.glob(f"{prefix}_*.pb"), key=lambda path: int(path.stem.split("_")[-1]))
    return [numpy_helper.to_array(onnx.load_tensor(path)) for path in files]


with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the test vectors of other operators overflow when made
    CASES = _cases()


@pytest.mark.parametrize("name", CASES)
def test_an_operator_computes_what_onnx_says(name: str) -> None:
    model, folder = CASES[name]
    data = folder / "test_data_set_0"
    prepared = VoxelgradBackend.prepare(model)
    inputs, expected = _tensors(data, "input"), _tensors(data, "output")
    try:
        found = prepared.run(inputs)
    except ValueError as error:
        assert model.graph.node[0].op_type in REFUSED, error
        return
    Runner.assert_similar_outputs(expected, list(found), rtol=1e-3, atol=1e-7)


def test_there_are_cases() -> None:
    assert len(CASES) > 150

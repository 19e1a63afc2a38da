"""ONNX's own test vectors: which belong to voxelgrad, and how many pass.

``python tests/onnx_backend.py`` runs them and prints the counts.
"""

from __future__ import annotations

import sys
import unittest
import warnings
from pathlib import Path

import onnx
from onnx.backend.test import BackendTest
from onnx.backend.test.loader import load_model_tests

OPERATORS = frozenset(
    (
        *("Conv", "ConvTranspose", "Gemm", "MatMul"),
        *("MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "Resize"),
        *("BatchNormalization", "InstanceNormalization", "GroupNormalization"),
        *("LayerNormalization", "Softmax", "LogSoftmax"),
        *("SoftmaxCrossEntropyLoss", "NegativeLogLikelihoodLoss", "Dropout"),
        *("Relu", "LeakyRelu", "PRelu", "Elu", "Sigmoid", "Tanh", "Softplus", "Clip"),
        *("Pad", "Concat", "Flatten", "Reshape", "Transpose", "Add", "Sub", "Mul", "Div"),
    )
)
TRAINING = frozenset(("Momentum", "Adam", "Adagrad"))
CONVERTED = frozenset(
    (
        "Conv",
        "ConvTranspose",
        "MaxPool",
        "AveragePool",
        "BatchNormalization",
        "Squeeze",
        "Unsqueeze",
    )
)

EXCLUDED: dict[str, str] = {}
"""Case -> why it is left out."""


def chosen(kind: str) -> list[str]:
    """Return the names of the cases of a kind whose graph is made of the named operators."""
    names = []
    for case in load_model_tests(kind=kind):
        model = case.model
        if model is None:
            model = onnx.load(Path(case.model_dir) / "model.onnx")
        found = {node.op_type for node in model.graph.node}
        if kind == "node":
            (first, *others) = found
            if not others and len(model.graph.node) == 1 and first in OPERATORS | TRAINING:
                names.append(case.name)
        elif found <= CONVERTED:
            names.append(case.name)
    return names


def suite() -> BackendTest:
    """Return ONNX's runner with the chosen cases included and the excluded ones left out."""
    from voxelgrad.interop.onnx import backend

    runner = BackendTest(backend.VoxelgradBackend, "test_onnx_backend")
    for name in [*chosen("node"), *chosen("pytorch-converted")]:
        runner.include(f"^{name}_cpu$")
    for name in EXCLUDED:
        runner.exclude(f"^{name}_cpu$")
    return runner


def main() -> int:
    """Run all chosen cases and print what passed and what is left out, and why."""
    names = {kind: chosen(kind) for kind in ("node", "pytorch-converted")}
    result = unittest.TestResult()
    suite().test_suite.run(result)
    counts = ", ".join(f"{len(found)} {kind}" for kind, found in names.items())
    total = sum(map(len, names.values()))
    failed = [*result.failures, *result.errors]
    passed = result.testsRun - len(result.skipped) - len(failed)
    print(f"onnx {onnx.__version__}: {total} cases ({counts})")
    print(f"passed {passed}, failed {len(failed)}, excluded {len(EXCLUDED)}")
    for name, reason in EXCLUDED.items():
        print(f"  excluded {name}: {reason}")
    for test, text in failed:
        print(f"  failed {test.id()}: {text.splitlines()[-1]}")
    return 1 if failed else 0


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.exit(main())

"""ONNX's standard test runner on voxelgrad: its own test vectors for the operators we offer."""

from __future__ import annotations

import warnings

import pytest

pytest.importorskip("onnx", reason="reads ONNX's test vectors, and onnx is not installed")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the test vectors of other operators overflow when made
    import onnx_backend

    _suite = onnx_backend.suite()
    _cases = _suite.test_cases

NAMES = {
    f"{name}_cpu" for kind in ("node", "pytorch-converted") for name in onnx_backend.chosen(kind)
}


def _chosen_tests() -> dict[str, type]:
    """Return the runner's classes without the cases of operators that are not asked for."""
    classes = {}
    for name, case in _cases.items():
        kept = {key: value for key, value in vars(case).items() if key in NAMES}
        if kept:
            classes[name] = type(name, case.__bases__, {"__module__": __name__, **kept})
    return classes


globals().update(_chosen_tests())


def test_the_named_operators_have_the_cases_that_onnx_1_22_ships() -> None:
    import onnx

    if onnx.__version__ != "1.22.0":
        pytest.skip("counted for onnx 1.22.0")
    assert len(NAMES) == 329 + 7 + 48


def test_every_exclusion_is_a_case_and_has_a_reason() -> None:
    for name, reason in onnx_backend.EXCLUDED.items():
        assert f"{name}_cpu" in NAMES
        assert reason

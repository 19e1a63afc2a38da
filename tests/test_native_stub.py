"""The stub of the native module says what the module has."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import voxelgrad
from voxelgrad import _cpu

STUB = Path(voxelgrad.__file__).with_name("_cpu.pyi")


def _stub_signatures() -> dict[str, list[str]]:
    functions = [n for n in ast.parse(STUB.read_text()).body if isinstance(n, ast.FunctionDef)]
    return {f.name: [a.arg for a in f.args.args] for f in functions}


def _native_signatures() -> dict[str, list[str]]:
    functions = {name: value for name, value in vars(_cpu).items() if not isinstance(value, type)}
    names = [name for name in functions if not name.startswith("__")]
    # A signature such as "name(first: type, second: type) -> type" leads every docstring.
    return {name: re.findall(r"[(,] ?(\w+): ", _signature(name)) for name in names}


def _signature(name: str) -> str:
    lines = (getattr(_cpu, name).__doc__ or "").splitlines()
    return next(line for line in lines if f"{name}(" in line and "->" in line)


def test_stub_has_the_functions_and_argument_names_of_the_module() -> None:
    assert _stub_signatures() == _native_signatures()

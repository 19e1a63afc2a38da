"""Who may import whom: the picture in docs/architecture.md, held against the code."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "python" / "voxelgrad"

# A room may import itself, the rooms listed here, and the shared small ones below.
ALLOWED = {
    "cli": {
        "bench",
        "interop",
        "train",
        "report",
        "data",
        "models",
        "nn",
        "ops",
        "optim",
        "tensor",
        "autograd",
    },
    "report": {"data"},
    "interop": {"models", "nn", "ops", "tensor", "autograd"},
    "bench": {"compiled", "models", "nn", "ops", "optim", "tensor", "autograd"},
    "train": {"compiled", "data", "models", "nn", "ops", "optim", "tensor", "autograd", "report"},
    "models": {"nn", "ops", "tensor", "autograd"},
    "data": set(),
    "nn": {"ops", "tensor", "autograd"},
    "optim": {"tensor", "autograd"},
    "ops": {"autograd", "tensor"},
    "gradcheck": {"autograd", "tensor", "ops"},
    "checkpoint": {"autograd", "backward", "tensor"},
    "serialization": {"nn", "models"},
    "compiled": {"nn", "optim", "tensor", "autograd"},
    "tensor": {"arrays", "autograd", "backward", "ops"},
    "autograd": {"tensor"},
    "backward": {"autograd", "tensor"},
    "backends": {"dtypes"},
    "config": {"backends"},
    "arrays": {"backends", "dtypes"},
    "dtypes": set(),
    "grad_mode": set(),
    "precision": {"dtypes"},
    "random": set(),
    "files": set(),
}
SHARED = {
    "arrays",
    "dtypes",
    "precision",
    "files",
    "random",
    "backends",
    "grad_mode",
    "serialization",
}
FOUNDATION = {"arrays", "backends", "dtypes", "files", "precision", "random"}


def room_of(path: Path) -> str:
    """The first part of a module's path below the package."""
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    """Rooms of voxelgrad that a file imports anywhere, also inside functions."""
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        assert not (isinstance(node, ast.ImportFrom) and node.level), f"{path}: relative import"
        rooms |= {name.split(".")[1] for name in names if name.startswith("voxelgrad.")}
    return rooms


SOURCES = sorted(p for p in PACKAGE.rglob("*.py") if p.name != "__main__.py")
SOURCES = [p for p in SOURCES if p != PACKAGE / "__init__.py"]


@pytest.mark.skipif(not SOURCES, reason="runs from a checkout")
@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_room_imports_only_the_rooms_below_it(path: Path) -> None:
    room = room_of(path)
    allowed = ALLOWED[room] | {room} | (set() if room in FOUNDATION else SHARED)
    known = set(ALLOWED) | {"_cpu", "_cuda"}
    found = imported_rooms(path) & known
    if room == "backends":
        found -= {"_cpu", "_cuda"}
    assert found <= allowed, f"{room} must not import {sorted(found - allowed)}"


NATIVE_ORDER = ["core", "kernels", "ops", "bind"]


@pytest.mark.parametrize(
    "path", sorted((ROOT / "cpp").rglob("*.[ch]pp")), ids=lambda p: str(p.relative_to(ROOT))
)
def test_native_includes_point_downwards(path: Path) -> None:
    level = NATIVE_ORDER.index(path.parent.name)
    text = path.read_text(encoding="utf-8")
    for include in re.findall(r'#include "(\w+)/', text):
        assert NATIVE_ORDER.index(include) <= level, f"includes {include}/"
    if path.parent.name != "bind":
        assert "pybind11" not in text


CUDA_ORDER = ["core", "ops", "bind"]
SHARED_WITH_CUDA = {"core", "ops", "bind"}  # of cpp/: headers that say what arguments must be


@pytest.mark.parametrize(
    "path",
    sorted(p for p in (ROOT / "cuda").rglob("*") if p.suffix in (".hpp", ".cuh", ".cu")),
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_cuda_includes_point_downwards(path: Path) -> None:
    level = CUDA_ORDER.index(path.parent.name)
    text = path.read_text(encoding="utf-8")
    for include in re.findall(r'#include "cuda/(\w+)/', text):
        assert CUDA_ORDER.index(include) <= level, f"includes cuda/{include}/"
    for room, name in re.findall(r'#include "(core|kernels|ops|bind)/(\w+)', text):
        assert room in SHARED_WITH_CUDA, f"includes {room}/{name}"
        assert room != "bind" or path.parent.name == "bind", f"includes {room}/{name}"
    if path.parent.name != "bind":
        assert "pybind11" not in text

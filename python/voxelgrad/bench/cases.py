"""Kernel cases: one layer each with its sizes, read from JSON files.

A file is ``{"about": text, "cases": [case, ...]}``; a case gives the fields of `Case`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from voxelgrad.files import MALFORMED, one_line

CONVOLUTIONS = ("conv", "conv_transpose", "linear")
LAYERS = (
    "max_pool",
    "avg_pool",
    "batch_norm",
    "instance_norm",
    "relu",
    "add",
    "concat",
    "interpolate",
)
# Arrays as large as the result that a pass reads and writes at least. Norms read twice: all of the
# input stands before the statistics, and the statistics before the result.
_ARRAYS_FORWARD = {"batch_norm": 3, "instance_norm": 3, "relu": 2, "add": 3, "concat": 2}
_ARRAYS_BACKWARD = {"batch_norm": 5, "instance_norm": 5, "relu": 3, "concat": 2}
_WINDOW = 2  # of pools and interpolation


@dataclass(frozen=True)
class Case:
    """One layer with its sizes.

    Attributes:
        op: conv, conv_transpose, linear, max_pool, avg_pool, batch_norm, instance_norm, relu, add,
            concat (of two halves) or interpolate (to twice the size, linear).
        batch: N.
        channels: C of the input.
        size: Spatial sizes; of the input, for concat and interpolate of the result.
        filters: Channels of the result, for convolutions and linear.
        kernel: Kernel of a convolution, the same along every axis.
        stride: Stride of a convolution.
        padding: Padding of a convolution.
        groups: Groups of a convolution.
    """

    op: str
    batch: int
    channels: int
    size: tuple[int, ...] = ()
    filters: int = 0
    kernel: int = 1
    stride: int = 1
    padding: int = 0
    groups: int = 1

    @property
    def name(self) -> str:
        """Op and sizes, such as ``conv 8x64x120x120 -> 128 k3 s2``."""
        text = f"{self.op} " + "x".join(map(str, (self.batch, self.channels, *self.size)))
        if self.op in CONVOLUTIONS:
            text += f" -> {self.filters}"
        if self.op in CONVOLUTIONS[:2]:
            text += f" k{self.kernel}"
            text += f" s{self.stride}" if self.stride > 1 else ""
            text += f" g{self.groups}" if self.groups > 1 else ""
        return text

    @property
    def passes(self) -> tuple[str, ...]:
        """What can be run."""
        if self.op in CONVOLUTIONS:
            return ("forward", "backward data", "backward weight")
        return ("forward",) if self.op == "add" else ("forward", "backward")

    @property
    def output_size(self) -> tuple[int, ...]:
        """Spatial sizes of the result."""
        if self.op == "conv":
            return tuple((s + 2 * self.padding - self.kernel) // self.stride + 1 for s in self.size)
        if self.op == "conv_transpose":
            return tuple((s - 1) * self.stride - 2 * self.padding + self.kernel for s in self.size)
        if self.op in ("max_pool", "avg_pool"):
            return tuple(s // _WINDOW for s in self.size)
        return self.size

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(N, *spatial, C) of the input; of one of the two for add and concat."""
        if self.op == "interpolate":
            return (self.batch, *(s // _WINDOW for s in self.size), self.channels)
        channels = self.channels // 2 if self.op == "concat" else self.channels
        return (self.batch, *self.size, channels)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """(N, *spatial, C) of the result."""
        return (self.batch, *self.output_size, self.filters or self.channels)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """(filters, *kernel, channels // groups); () for layers without weights."""
        if self.op not in CONVOLUTIONS:
            return ()
        return (self.filters, *(self.kernel for _ in self.size), self.channels // self.groups)

    @property
    def flops(self) -> int:
        """Operations of one pass of direct convolution; 0 for all other layers."""
        if self.op not in CONVOLUTIONS:
            return 0
        positions = self.size if self.op == "conv_transpose" else self.output_size
        return 2 * self.batch * math.prod(positions) * math.prod(self.weight_shape)

    def bytes_moved(self, name: str, element: int = 4) -> int:
        """Return the bytes that pass ``name`` must at least read and write.

        Args:
            name: One of ``passes``.
            element: Bytes of a number of an image; weights are float32.
        """
        result, source = (element * math.prod(s) for s in (self.output_shape, self.input_shape))
        if self.op in CONVOLUTIONS:
            return result + source + 4 * math.prod(self.weight_shape)
        arrays = (_ARRAYS_FORWARD if name == "forward" else _ARRAYS_BACKWARD).get(self.op)
        if arrays is not None:
            return arrays * result
        positions = result // element if self.op == "max_pool" else 0  # a byte for each maximum
        return result + source + positions


def shapes_folder() -> Path:
    """Return the folder of the data files: in the package, or beside a checkout.

    Raises:
        ValueError: If there is neither.
    """
    here = Path(__file__).resolve()
    places = [here.parent / "shapes", here.parents[3] / "benchmarks" / "shapes"]
    for place in places:
        if place.is_dir():
            return place
    raise ValueError(f"bench: there are no shapes in {places[0]}; install voxelgrad again")


def set_names() -> list[str]:
    """Return the names of the sets of cases that come with voxelgrad."""
    return sorted(path.stem for path in shapes_folder().glob("*.json"))


def read_cases(sets: Sequence[str], only: str | None = None) -> list[Case]:
    """Read sets of cases; a case that several sets hold comes once.

    Args:
        sets: Names of sets, or paths of JSON files.
        only: Keeps the cases whose name has this text, or matches it with ``*`` and ``?``.

    Raises:
        ValueError: If a set is unknown or malformed, or no case is left.
    """
    found = dict.fromkeys(case for name in sets for case in _read_file(_path_of(name)))
    kept = [case for case in found if only is None or matches(case.name, only)]
    if not kept:
        raise ValueError(
            f"bench kernels: no case of {', '.join(sets)} matches {only!r}; --list shows them"
        )
    return kept


def matches(name: str, pattern: str) -> bool:
    """Return whether ``name`` has ``pattern`` in it, where ``*`` and ``?`` stand for anything."""
    return fnmatch(name, f"*{pattern}*")


def _path_of(name: str) -> Path:
    if name.endswith(".json"):
        return Path(name)
    if name not in set_names():
        raise ValueError(
            f"bench kernels: there is no set {name!r}; choose from {', '.join(set_names())}, "
            "or give a .json file"
        )
    return shapes_folder() / f"{name}.json"


def _read_file(path: Path) -> list[Case]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        entries = list(content["cases"])
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}; check the path") from error
    except MALFORMED as error:
        raise ValueError(
            f'{path}: not a file of cases ({one_line(error)}); it must hold {{"cases": [...]}}'
        ) from None
    return [_case(entry, f"{path}: case {number}") for number, entry in enumerate(entries, 1)]


def _case(entry: Any, where: str) -> Case:
    shown = f"{where} is {str(entry)[:300]}"
    known = {field.name for field in fields(Case)}
    needed = {field.name for field in fields(Case) if field.default is MISSING}
    if not isinstance(entry, dict) or not needed <= entry.keys() <= known:
        raise ValueError(
            f"{shown}; it must give {', '.join(sorted(needed))} and may give "
            f"{', '.join(sorted(known - needed))}"
        )
    if entry["op"] not in CONVOLUTIONS + LAYERS:
        choices = ", ".join(CONVOLUTIONS + LAYERS)
        raise ValueError(f"{where}: op is {str(entry['op'])[:50]!r}; choose from {choices}")
    size = entry.get("size", [])
    numbers = [v for k, v in entry.items() if k not in ("op", "size")]
    numbers += size if isinstance(size, list) else [size]
    if any(type(v) is not int or not 0 <= v < 2**31 for v in numbers) or not _is_size(size):
        raise ValueError(
            f"{shown}; sizes are whole numbers below 2^31, with at most three spatial axes"
        )
    case = Case(**{**entry, "size": tuple(size)})
    least = min(case.stride, case.kernel, case.groups)
    if least < 1 or min(case.input_shape + case.output_shape) < 1:
        raise ValueError(f"{shown}; nothing may be empty, neither input nor kernel nor result")
    return case


def _is_size(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= 3

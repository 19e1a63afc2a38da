"""What an op case is: an op of ``voxelgrad.ops``, the arrays it runs on and its settings."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np

CONSTANT_KINDS = ("labels", "unit", "statistic", "spread", "class_weight", "target")


@dataclass(frozen=True)
class Arg:
    """An argument: its shape and what values it holds.

    Differentiable kinds: ``normal``, ``offset`` (mean 100), ``positive`` (0.5 to 2), ``away``
    (normal, at least 0.1 from 0), ``distinct`` (multiples of 1/64, none twice). Constants:
    ``labels``, ``unit`` (0 to 1), ``target``, ``statistic``, ``spread`` (0.5 to 2),
    ``class_weight``.
    """

    shape: tuple[int, ...]
    kind: str = "normal"
    classes: int = 0
    ignored: int | None = None

    @property
    def is_constant(self) -> bool:
        return self.kind in CONSTANT_KINDS

    def make(self, rng: np.random.Generator, dtype: Any) -> np.ndarray:
        """Return an array of this kind; float32 and float64 hold the same numbers."""
        if self.kind == "labels":
            labels = rng.integers(0, self.classes, self.shape)
            if self.ignored is not None:
                labels[rng.random(self.shape) < 0.3] = self.ignored
                labels.flat[0] = self.classes - 1  # something counts
            return labels
        return self._numbers(rng).astype(np.float32).astype(dtype)

    def _numbers(self, rng: np.random.Generator) -> np.ndarray:
        normal = rng.standard_normal(self.shape)
        if self.kind == "offset":
            return normal + 100.0
        if self.kind in ("positive", "spread", "class_weight"):
            return rng.uniform(0.5, 2.0, self.shape)
        if self.kind == "unit":
            return rng.random(self.shape)
        if self.kind == "away":
            return normal + 0.1 * np.sign(normal)
        if self.kind == "distinct":
            return rng.permutation(normal.size).reshape(self.shape) / 64.0 - normal.size / 128.0
        return normal


@dataclass(frozen=True)
class OpCase:
    """One op on given arguments.

    Attributes:
        op: Name in ``voxelgrad.ops``.
        args: Positional arguments; None where an optional one is missing.
        params: Keyword arguments.
        family: Which error bound of ``bounds.py`` holds.
        terms: The longest sum in the forward or backward pass; 0 to count it by running on ones.
        listed: The op takes its tensors as one list.
        joined: The op takes so many first tensors as one list; 0 if it takes no list there.
        settings: Positional arguments after the arrays.
        keywords: Names of the last arrays, where the op takes those by name.
    """

    op: str
    args: tuple[Arg | None, ...]
    params: dict[str, Any] = field(default_factory=dict)
    family: str = "monomial"
    terms: int = 0
    listed: bool = False
    joined: int = 0
    settings: tuple[Any, ...] = ()
    keywords: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """An id that says what the case is."""
        shapes = ",".join("x".join(map(str, a.shape)) if a else "-" for a in self.args)
        settings = ",".join(map(str, self.settings))
        params = ",".join(f"{k}={v}" for k, v in self.params.items())
        kinds = ",".join(sorted({a.kind for a in self.args if a} - {"normal"}))
        ignored = "".join("ignored" for a in self.args if a and a.ignored is not None)
        parts = (self.op, shapes, settings, params, kinds, ignored)
        return "-".join(p for p in parts if p).replace(" ", "")

    def arrays(self, dtype: Any) -> list[np.ndarray | None]:
        """Return the arguments, the same numbers in every process and dtype."""
        rng = np.random.default_rng(zlib.crc32(self.name.encode()))
        return [None if arg is None else arg.make(rng, dtype) for arg in self.args]

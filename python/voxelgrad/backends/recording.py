"""A backend that computes as ``cpu`` does and writes every call into a plan.

The flat functions are those of the native module. Arrays come from the plan's own memory, where
one that Python lets go makes room for a later one, as in an eager step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from voxelgrad._cpu import Plan

Array = NDArray[Any]

_BEFORE_A_NORM = ("conv_forward", "conv_transpose_forward", "linear_forward")


class Recorder:
    """Runs and records native calls; stands where a backend module does.

    Attributes:
        plan: What was recorded.
        seeds: For each seed that was drawn, in order, the numbers of the calls that use it.
    """

    def __init__(self) -> None:
        self.plan = Plan()
        self.seeds: dict[int, list[int]] = {}

    def declare(self, array: Array) -> None:
        """Let calls use an array that is not the plan's: a parameter, an input, a constant."""
        self.plan.declare(array)

    def empty(self, shape: Sequence[int], dtype: DTypeLike = np.float32) -> Array:
        """Return an uninitialised array in the plan's memory."""
        return self.plan.empty(shape, np.dtype(dtype))

    def zeros(self, shape: Sequence[int], dtype: DTypeLike = np.float32) -> Array:
        """Return an array that a recorded call fills with zeros."""
        array = self.empty(shape, dtype)
        self.call("fill", array, 0.0)
        return array

    def dropout(self, input: Array, output: Array, p: float, seed: int) -> None:
        """Record a dropout; its seed is drawn again before every run."""
        self.seeds.setdefault(seed, []).append(self.call("dropout", input, output, p, seed))

    def call(self, name: str, *values: Any) -> int:
        """Run and record a native function; return the number of the call."""
        return self.plan.call(name, *values)

    def finish(self) -> None:
        """Record what was held back."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Return a function that runs and records the native function of this name."""
        if name.startswith("__"):
            raise AttributeError(name)
        return partial(self.call, name)


class FoldingRecorder(Recorder):
    """A recorder that folds a batch norm with constant statistics into the layer before it.

    Such a layer is held back until the next call. If that is the norm of its output, weight and
    bias are folded, in every run anew, and the layer writes the norm's output. Its own output is
    then never written, so recording fails if somebody else reads it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._held: list[tuple[str, tuple[Any, ...]]] = []
        self._folded: list[Array] = []

    def call(self, name: str, *values: Any) -> int:
        """Run and record a native function, unless it may be folded with the next ones."""
        if name == "batch_norm_apply" and self._is_held(*values):
            return self._fold(*values)
        if name != "batch_norm_statistics" or len(self._held) != 1:
            self.finish()
        if name in (*_BEFORE_A_NORM, "batch_norm_statistics"):
            self._held.append((name, values))
            return -1
        return super().call(name, *values)

    def finish(self) -> None:
        """Record the calls that were held back."""
        held, self._held = self._held, []
        for name, values in held:
            super().call(name, *values)

    def _is_held(self, input: Array, *rest: Any) -> bool:
        """Return whether a layer that writes ``input`` and the statistics are held back."""
        return len(self._held) == 2 and self._held[0][1][3] is input

    def _fold(
        self,
        input: Array,
        norm_weight: Array | None,
        norm_bias: Array | None,
        mean: Array,
        invstd: Array,
        output: Array,
        activation: str,
        alpha: float,
    ) -> int:
        (name, values), (_, (running_mean, running_var, _, _, eps)) = self._held
        self._held = []
        source, weight, bias, _, *settings = values
        folded_weight = self.empty(weight.shape, weight.dtype)
        folded_bias = self.empty(weight.shape[:1], weight.dtype)
        self._folded += [folded_weight, folded_bias]
        norm = (norm_weight, norm_bias, running_mean, running_var)
        super().call("batch_norm_fold", weight, bias, *norm, folded_weight, folded_bias, eps)
        number = super().call(name, source, folded_weight, folded_bias, output, *settings)
        if activation != "identity":
            number = super().call("activation_forward", activation, output, output, alpha)
        return number

"""Backends that compute as ``cpu`` does and write every call into a plan.

The flat functions are those of the native module. Arrays come from the pool and return to it, as in
an eager step; before its calls run again, the plan lays all of them into one block. What recorders
of other devices share with them (`Recording`, `Folding`) stands here too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from voxelgrad._cpu import Plan

Array = NDArray[Any]

_LAYERS = ("conv_forward", "conv_joined_forward", "conv_transpose_forward", "linear_forward")


class Recording:
    """What recorders share: they stand where a backend module does and are given its calls."""

    def declare(self, array: Array) -> None:
        """Let calls use an array that is not the recorder's: a parameter, an input, a constant."""
        raise NotImplementedError

    def constant(self, array: Array) -> Array:
        """Return numbers that are the same in every run, where the calls can read them."""
        self.declare(array)
        return array

    def knows(self, array: Array) -> bool:
        """Return whether recorded calls compute ``array``, or it was declared."""
        raise NotImplementedError

    def leave_unwritten(self, array: Array) -> None:
        """Hear that nobody writes an array of the recorder's after all: it must not be read."""

    def empty(self, shape: Sequence[int], dtype: DTypeLike = np.float32) -> Array:
        """Return an uninitialised array that calls may use."""
        raise NotImplementedError

    def zeros(self, shape: Sequence[int], dtype: DTypeLike = np.float32) -> Array:
        """Return an array that a recorded call fills with zeros."""
        array = self.empty(shape, dtype)
        self.call("fill", array, 0.0)
        return array

    def call(self, name: str, *values: Any) -> int:
        """Run and record a native function; return the number of the call."""
        raise NotImplementedError

    def finish(self) -> int:
        """Record what was held back; return the number of the last call, -1 if there is none."""
        return -1

    def run(self, draw: Callable[[], int]) -> None:
        """Repeat the step; ``draw`` gives the seeds, in the order in which they were drawn."""
        raise NotImplementedError

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Return a function that runs and records the native function of this name."""
        if name.startswith("_"):
            raise AttributeError(name)
        return partial(self.call, name)


class Recorder(Recording):
    """Runs native calls of the CPU and records them in a plan.

    Attributes:
        plan: What was recorded.
        seeds: For each seed that was drawn, in order, the numbers of the calls that use it.
        is_complete: Whether the arrays are laid out, so that nothing more is recorded.
    """

    def __init__(self) -> None:
        self.plan = Plan()
        self.is_complete = False
        self.seeds: dict[int, list[int]] = {}

    def declare(self, array: Array) -> None:
        """Let calls use an array that is not the plan's: a parameter, an input, a constant."""
        self.plan.declare(array)

    def knows(self, array: Array) -> bool:
        """Return whether recorded calls have written ``array``."""
        return self.plan.knows(array)

    def empty(self, shape: Sequence[int], dtype: DTypeLike = np.float32) -> Array:
        """Return an uninitialised array whose place the plan knows."""
        return self.plan.empty(shape, np.dtype(dtype))

    def dropout(self, input: Array, output: Array, p: float, seed: int) -> None:
        """Record a dropout; its seed is drawn again before every run."""
        self.seeds.setdefault(seed, []).append(self.call("dropout", input, output, p, seed))

    def call(self, name: str, *values: Any) -> int:
        """Run and record a native function; return the number of the call."""
        return self.plan.call(name, *values)

    def lay_out(self, results: list[Array | None]) -> None:
        """Give all arrays of the calls their places in one block, as small as may be.

        Args:
            results: Arrays that are read after a run. They are let go, and the list then holds the
                arrays that take their place from the next run on; others that are not the plan's
                stay.
        """
        numbers = [-1 if array is None else self.plan.add_result(array) for array in results]
        for index, number in enumerate(numbers):
            if number >= 0:
                results[index] = None
        self.plan.lay_out()
        self.is_complete = True
        for index, number in enumerate(numbers):
            if number >= 0:
                results[index] = self.plan.result(number)

    def run(self, draw: Callable[[], int]) -> None:
        """Repeat the step; ``draw`` gives the seeds, in the order in which they were drawn."""
        for calls in self.seeds.values():
            seed = draw()
            for call in calls:
                self.plan.set(call, 3, seed)
        self.plan.run()


class Folding(Recording):
    """Mixed into a recorder, lets convolutions and linear layers do what follows them.

    Such a layer is held back until the next call. If that is a batch norm with constant statistics
    of its output, weight and bias are folded, in every run anew; a relu or leaky_relu is applied as
    the layer writes its results. The layer then writes what those would have written. Its own
    output is never written, so recording fails if somebody else reads it.
    """

    def __init__(self, *settings: Any) -> None:
        super().__init__(*settings)
        self._layer: _Layer | None = None
        self._statistics: tuple[Any, ...] | None = None
        self._folded: list[Array] = []

    def call(self, name: str, *values: Any) -> int:
        """Run and record a native function, unless it may be folded with the next ones."""
        layer = self._layer
        if layer is not None and self._statistics is None and name == "batch_norm_statistics":
            self._statistics = values
            return -1
        if layer is not None and layer.slope == 1.0:
            if name == "batch_norm_apply" and self._statistics and values[0] is layer.output:
                return self._fold_norm(layer, *values)
            if name == "activation_forward" and not self._statistics:
                slope = _slope(*values)
                if slope is not None and values[1] is layer.output:
                    self.leave_unwritten(layer.output)
                    layer.output, layer.slope = values[2], slope
                    return self.finish()
        self.finish()
        if name in _LAYERS:
            self._layer = _Layer(name, *values)
            return -1
        return super().call(name, *values)

    def finish(self) -> int:
        """Record the calls that were held back; return the number of the last one."""
        layer, statistics = self._layer, self._statistics
        self._layer = self._statistics = None
        number = -1
        if layer is not None:
            number = super().call(layer.name, *layer.values())
        if statistics is not None:
            number = super().call("batch_norm_statistics", *statistics)
        return number

    def _fold_norm(
        self,
        layer: _Layer,
        input: Array,
        norm_weight: Array | None,
        norm_bias: Array | None,
        mean: Array,
        invstd: Array,
        output: Array,
        activation: str,
        alpha: float,
    ) -> int:
        """Fold a norm and its activation into the layer, which stays held back."""
        assert self._statistics is not None
        running_mean, running_var, _, _, eps = self._statistics
        self._statistics = None
        weight = self.empty(layer.weight.shape, layer.weight.dtype)
        bias = self.empty(weight.shape[:1], weight.dtype)
        self._folded += [weight, bias]
        norm = (norm_weight, norm_bias, running_mean, running_var)
        super().call("batch_norm_fold", layer.weight, layer.bias, *norm, weight, bias, eps)
        for array in (layer.output, mean, invstd):
            self.leave_unwritten(array)
        layer.weight, layer.bias, layer.output = weight, bias, output
        layer.slope = {"identity": 1.0, "relu": 0.0}.get(activation, alpha)
        return -1


class FoldingRecorder(Folding, Recorder):
    """A recorder of the CPU's calls that folds."""


class _Layer:
    """A call of a convolution or linear layer that is held back."""

    def __init__(
        self,
        name: str,
        input: Array,
        weight: Array,
        bias: Array | None,
        output: Array,
        *settings: Any,
    ) -> None:
        self.name, self.input, self.weight, self.bias, self.output = (
            name,
            input,
            weight,
            bias,
            output,
        )
        *self.settings, self.slope = settings

    def values(self) -> tuple[Any, ...]:
        """Return the arguments of the call."""
        return self.input, self.weight, self.bias, self.output, *self.settings, self.slope


def _slope(kind: str, input: Array, output: Array, alpha: float) -> float | None:
    """Return what an activation multiplies negative numbers by, if a layer does the same, bit by
    bit: it knows 0 as relu, and rounds to bfloat16 once where two calls round twice."""
    if kind == "relu":
        return 0.0
    exact = kind == "leaky_relu" and alpha != 0.0 and output.dtype == np.float32
    return alpha if exact else None

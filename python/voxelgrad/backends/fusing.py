"""A recorder for training steps on the CPU that lets one native call do the work of several.

While a step is recorded every call runs as ever, so that whoever looks at an array finds its
numbers. What the plan gets may be less: a relu is left to the layer before it or to the max-pool
behind it, whose own gradient then is the gradient of both; a convolution sums the statistics of the
norm behind it; and a first convolution takes its weight gradient from the pool behind it, without
what lies between them.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np

from voxelgrad import _cpu
from voxelgrad.backends.recording import Array, Recorder

_Weak: TypeAlias = Callable[[], Array | None]

_OUTPUTS = {
    "conv_forward": 3,
    "conv_joined_forward": 3,
    "linear_forward": 3,
    "activation_forward": 2,
    "max_pool_backward": 2,
}
"""The calls that may be left out of a plan, and which of their arguments they write."""
_NORMS = {"batch_norm_forward": "batch", "group_norm_forward": "group"}
_MOST_PLACES = 255  # of a window whose indices can say that there is no place


class FusingRecorder(Recorder):
    """Records a call of ``_OUTPUTS`` only when a later one reads what it writes."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: list[_Waiting] = []
        self._rectified: list[tuple[weakref.ref[Array], _Weak]] = []

    def call(self, name: str, *values: Any) -> int:
        """Run a native function; record it, or what does its work and that of earlier ones."""
        self._waiting = [call for call in self._waiting if call.output() is not None]
        if name == "max_pool_forward" and self._pools_relu(*values):
            return -1
        if name in _NORMS and self._ends_convolution(_NORMS[name], *values):
            return -1
        if name == "activation_backward" and self._is_done(*values):
            return -1
        if name == "conv_backward_weight" and self._reads_pool(*values):
            return -1
        relu = name == "activation_forward" and values[0] == "relu"
        layer = self._writer(values[1]) if relu else None
        self._record_read(values, besides=layer)
        if relu or (name in _OUTPUTS and name != "activation_forward"):
            getattr(_cpu, name)(*values)
            self._waiting.append(_Waiting(name, values, layer))
            return -1
        return super().call(name, *values)

    def finish(self) -> int:
        """Record what still waits and may be read after the step."""
        while self._waiting:
            self._record(self._waiting[0])
        return super().finish()

    def _writer(self, array: Array) -> _Waiting | None:
        """Return the waiting call that writes just this array."""
        return next((call for call in self._waiting if call.output() is array), None)

    def _record_read(self, values: tuple[Any, ...], besides: _Waiting | None = None) -> None:
        """Record the calls that write what is used now, or read what may be written now."""
        arrays = list(_arrays(values))
        for call in list(self._waiting):
            if call is not besides and call in self._waiting and call.touches(arrays):
                self._record(call)

    def _record(self, call: _Waiting) -> None:
        self._waiting.remove(call)
        output = call.output()
        if output is None:
            return
        layer = call.layer
        if layer is not None and layer in self._waiting and layer.values[-1] == 1.0:
            super().call(layer.name, *layer.with_output(output)[:-1], 0.0)
            return
        if layer is not None and layer in self._waiting:
            self._record(layer)
        super().call(call.name, *call.with_output(output))

    def _pools_relu(self, input: Array, output: Array, indices: Array, *settings: Any) -> bool:
        """Let the pool apply the relu before it, if there is one."""
        relu = self._writer(input)
        if relu is None or relu.name != "activation_forward" or indices.dtype != np.uint8:
            return False
        if math.prod(settings[0]) > _MOST_PLACES:
            return False
        self._record_read((output, indices))
        if relu.layer is not None and relu.layer in self._waiting:
            self._record(relu.layer)
        super().call("relu_max_pool_forward", relu.values[1], output, indices, *settings)
        self._rectified.append((weakref.ref(indices), relu.output))
        return True

    def _ends_convolution(self, kind: str, input: Array, *norm: Any) -> bool:
        """Let the convolution before a norm sum its statistics, if there is one."""
        layer = self._writer(input)
        if layer is None or layer.name not in ("conv_forward", "conv_joined_forward"):
            return False
        self._record_read(norm, besides=layer)
        self._waiting.remove(layer)
        images, *settings = layer.with_output(input)
        joined = images if layer.name == "conv_joined_forward" else [images]
        super().call("conv_norm_forward", joined, *settings, kind, *norm)
        return True

    def _is_done(self, kind: str, grad: Array, saved: Array, grad_input: Array, _: float) -> bool:
        """Return whether a pool's gradient, which waits, is already that of its relu."""
        pool = self._writer(grad)
        if pool is None or pool.name != "max_pool_backward" or grad_input is not grad:
            return False
        return any(
            indices() is pool.values[1] and output() is saved for indices, output in self._rectified
        )

    def _reads_pool(
        self, grad: Array, input: Array, grad_weight: Array, grad_bias: Array | None, *settings: Any
    ) -> bool:
        """Let a weight gradient read that of the max-pool behind its convolution, if it can."""
        pool = self._writer(grad)
        if pool is None or pool.name != "max_pool_backward":
            return False
        grad_pooled, indices, _, size, pool_stride, margin = pool.values
        stride, padding, dilation, groups = settings
        plain = groups == 1 and set(stride) == set(dilation) == {1}
        if not plain or indices.dtype != np.uint8 or grad.dtype != np.float32:
            return False
        if tuple(pool_stride) != tuple(size) or any(margin):
            return False
        if not _cpu.conv_reads_pooled(input, grad_weight, padding, size):
            return False
        self._record_read((input, grad_weight, grad_bias))
        results = grad_weight, grad_bias
        super().call(
            "conv_pooled_backward_weight", grad_pooled, indices, input, *results, padding, size
        )
        return True


class _Waiting:
    """A call that was run, but not recorded; its output may go while it waits."""

    def __init__(self, name: str, values: tuple[Any, ...], layer: _Waiting | None) -> None:
        self.name, self.layer = name, layer
        position = _OUTPUTS[name]
        self.output: _Weak = weakref.ref(values[position])
        self.values = (*values[:position], None, *values[position + 1 :])

    def with_output(self, output: Array) -> tuple[Any, ...]:
        """Return the arguments, writing to ``output``."""
        position = _OUTPUTS[self.name]
        return (*self.values[:position], output, *self.values[position + 1 :])

    def touches(self, arrays: list[Array]) -> bool:
        """Return whether the call reads or writes memory of one of the arrays."""
        output = self.output()
        mine = [*_arrays(self.values), *([] if output is None else [output])]
        return any(np.may_share_memory(a, b) for a in mine for b in arrays)


def _arrays(values: Any) -> Iterator[Array]:
    """Yield the arrays among the arguments of a call."""
    for value in values:
        if isinstance(value, np.ndarray):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _arrays(value)

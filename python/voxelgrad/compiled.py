"""Compiled steps: recorded once for each shape, then run without Python between the kernels.

The first call with inputs of a new shape runs the step as ever and records its native calls with
their arrays; later calls run that record. The numbers are those of the eager step, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from operator import is_
from typing import Any, TypeAlias, overload

import numpy as np

from voxelgrad import backends, precision, random
from voxelgrad.backends.recording import FoldingRecorder, Recorder
from voxelgrad.grad_mode import enable_grad, no_grad
from voxelgrad.nn import Module
from voxelgrad.optim import Optimizer
from voxelgrad.tensor import Array, Tensor

Loss: TypeAlias = Callable[[Tensor, Any], Tensor]

_MOST_RECORDS = 4


@dataclass
class _Record:
    """A recorded step.

    Attributes:
        recorder: The plan and its seeds.
        inputs: Where the inputs of a run go.
        state: The arrays of parameters and buffers that it uses.
        output: What it computes.
        gradients: What each parameter's ``grad`` is after a run.
    """

    recorder: Recorder
    inputs: list[Array]
    state: list[Array]
    output: Array = field(default_factory=lambda: np.empty(0))
    gradients: list[Tensor | None] = field(default_factory=list)

    def run(self, arrays: list[Array]) -> None:
        """Run the step on other inputs."""
        plan = self.recorder.plan
        for target, array in zip(self.inputs, arrays, strict=True):
            _copy(array, target)
        for calls in self.recorder.seeds.values():
            seed = random.next_seed()
            for call in calls:
                plan.set(call, 3, seed)
        plan.run()


class _Compiled:
    """What compiled training and prediction share: the records, found by shapes and modes."""

    def __init__(self, model: Module) -> None:
        if not isinstance(model, Module):
            raise TypeError(f"compile: model is {type(model).__name__}; give a Module")
        self.model = model
        self._modules = list(model.modules())
        self._parameters = list(model.parameters())
        self._buffers = [(m, name) for m in self._modules for name in m._buffer_names]
        self._records: dict[Any, _Record] = {}

    def _state(self) -> list[Array]:
        arrays = [parameter.data for parameter in self._parameters]
        arrays += [getattr(module, name) for module, name in self._buffers]
        return arrays

    def _find(self, key: Any) -> _Record | None:
        """Return the record for ``key`` unless arrays of the model were replaced since."""
        record = self._records.get(key)
        if record is None or all(map(is_, record.state, self._state())):
            return record
        del self._records[key]
        return None

    def _begin(self, recorder: Recorder, arrays: list[Array]) -> _Record:
        """Return a record without calls, whose inputs hold ``arrays``."""
        if any(module._forward_hooks for module in self._modules):
            raise RuntimeError(
                "compile: the model has forward hooks, which a compiled step would not call; "
                "remove them, or run the model without compile"
            )
        if any(map(backends.is_on_device, (*arrays, *self._state()))):
            raise NotImplementedError(
                "compile: steps are compiled for the CPU only; on 'cuda' run the model without "
                'compile, or move it with .to("cpu")'
            )
        record = _Record(recorder, [array.copy() for array in arrays], self._state())
        for array in (*record.inputs, *record.state):
            recorder.declare(array)
        return record

    def _keep(self, key: Any, record: _Record) -> None:
        while len(self._records) >= _MOST_RECORDS:
            del self._records[next(iter(self._records))]
        self._records[key] = record


class CompiledPrediction(_Compiled):
    """A model in evaluation mode; see `compile`."""

    def __call__(self, input: Tensor | Array) -> Tensor:
        """Return the model's output, a tensor of its own.

        Args:
            input: What the model takes.

        Raises:
            ValueError: If the model refuses the input, or reads numbers that were computed by
                Python or numpy.
            RuntimeError: If the model needs Python in between: hooks, ``item()``.
            NotImplementedError: If model or input are on a CUDA device.
        """
        arrays = [_staged(input)]
        key = (_shapes(arrays), precision.mode.dtype)
        record = self._find(key)
        if record is not None:
            record.run(arrays)
        else:
            record = self._record(arrays)
            self._keep(key, record)
        output: Array = backends.load("cpu").empty(record.output.shape, record.output.dtype)
        _copy(record.output, output)
        return Tensor(output)

    def _record(self, arrays: list[Array]) -> _Record:
        modes = [module.training for module in self._modules]
        self.model.eval()
        try:
            return self._record_with(FoldingRecorder(), arrays)
        except ValueError:  # a layer's output has other readers than the norm, or the user erred
            return self._record_with(Recorder(), arrays)
        finally:
            for module, mode in zip(self._modules, modes, strict=True):
                module.training = mode

    def _record_with(self, recorder: Recorder, arrays: list[Array]) -> _Record:
        recorder.plan.keep_weights()
        record = self._begin(recorder, arrays)
        with backends.record(recorder), no_grad():
            record.output = self.model(Tensor(record.inputs[0])).data
            recorder.finish()
        if not recorder.plan.knows(record.output):
            raise ValueError(
                "compile: the model's output is not what voxelgrad computed from its input; return "
                "a result of voxelgrad.ops"
            )
        return record


class CompiledTraining(_Compiled):
    """Loss, gradients and, with an optimizer, the update of the parameters; see `compile`."""

    def __init__(self, model: Module, loss: Loss, optimizer: Optimizer | None) -> None:
        super().__init__(model)
        self.loss = loss
        self.optimizer = optimizer

    def __call__(self, input: Tensor | Array, target: Tensor | Array) -> float:
        """Run one step and return the loss.

        The gradients of the parameters are overwritten, not added to: there is no need for
        ``zero_grad``. Their arrays belong to the step and are used again by the next one.

        Args:
            input: What the model takes.
            target: What the loss takes behind the model's output; integers become int64.

        Raises:
            ValueError: If the model or the loss refuse the arrays, or use numbers that were
                computed by Python or numpy.
            RuntimeError: If the step needs Python in between: hooks, ``item()``.
        """
        arrays = [_staged(input), _staged(target)]
        modes = tuple([module.training for module in self._modules])
        trained = tuple([parameter.requires_grad for parameter in self._parameters])
        key = (_shapes(arrays), modes, trained, precision.mode.dtype)
        record = self._find(key)
        if record is not None:
            record.run(arrays)
        else:
            record = self._record(arrays)
            self._keep(key, record)
        for parameter, gradient in zip(self._parameters, record.gradients, strict=True):
            parameter.grad = gradient
        if self.optimizer is not None:
            self.optimizer.step()
        return float(record.output.item())

    def _record(self, arrays: list[Array]) -> _Record:
        recorder = Recorder()
        record = self._begin(recorder, arrays)
        self.model.zero_grad()
        input, target = record.inputs
        with backends.record(recorder), enable_grad():
            loss = self.loss(self.model(Tensor(input)), target)
            loss.backward()
        record.output = loss.data
        record.gradients = [parameter.grad for parameter in self._parameters]
        return record


@overload
def compile(model: Module) -> CompiledPrediction: ...


@overload
def compile(model: Module, loss: Loss, optimizer: Optimizer | None = None) -> CompiledTraining: ...


def compile(
    model: Module, loss: Loss | None = None, optimizer: Optimizer | None = None
) -> CompiledPrediction | CompiledTraining:
    """Return a function that runs the model, or a training step of it, as one list of native calls.

    The list is recorded by the first call for each shape of the inputs (the last four shapes are
    kept, each with the memory of a step) and gives the numbers of the eager path, bit for bit. It
    holds what the model does then: Python's own decisions and numbers are not taken again, only
    dropout draws anew. Parameters, buffers and inputs may change in place; where arrays were
    replaced, modes switched or parameters frozen, the step is recorded anew. A model that gains or
    loses layers must be compiled again.

    Args:
        model: A model of float32 parameters.
        loss: Called with the model's output and the target; its result must be one number.
        optimizer: Makes a step after each run. Without it the gradients wait in ``grad``, for
            ``clip_grad_norm`` and an optimizer's ``step``.

    Returns:
        Without a loss ``predict(input) -> Tensor``: the output in evaluation mode, whatever mode
        the model is in. Batch norms are folded into the convolution or linear layer before them, so
        these numbers differ from the eager ones by rounding; a ReLU or leaky ReLU is applied as
        that layer writes its results. Packed and transformed weights are kept from call to call,
        which takes up to five times their memory for each shape; a change of the weights is
        noticed. With a loss ``step(input, target) -> float``: one training step and its loss.

    Raises:
        TypeError: If ``model`` is not a module.
        ValueError: If an optimizer is given without a loss.
    """
    if loss is not None:
        return CompiledTraining(model, loss, optimizer)
    if optimizer is not None:
        raise ValueError(
            "compile: an optimizer needs a loss; give loss, or leave the optimizer out"
        )
    return CompiledPrediction(model)


def _staged(value: Tensor | Array) -> Array:
    """Return the array of an input: integers as int64, which labels are."""
    array: Array = value.data if isinstance(value, Tensor) else Tensor(value).data
    return array.astype(np.int64, copy=False) if array.dtype.kind in "iub" else array


def _shapes(arrays: list[Array]) -> tuple[Any, ...]:
    return tuple([(array.shape, array.dtype) for array in arrays])


def _copy(array: Array, target: Array) -> None:
    """Copy an array into another of the same shape and dtype, float32 on all threads."""
    if array.dtype == np.float32:
        backends.load("cpu").broadcast_to(array, target, 1.0)
    else:
        np.copyto(target, array)

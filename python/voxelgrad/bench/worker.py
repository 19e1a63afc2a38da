"""One library in a process of its own: answers lines of JSON on standard input.

``python -m voxelgrad.bench.worker LIBRARY`` takes {"prepare": ...} and {"run": ...}; the answer to
a failure is {"error": text}.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from voxelgrad.bench.cases import Case
from voxelgrad.bench.device_timing import DeviceRuns
from voxelgrad.bench.timing import HostRuns

# Library: the module with its kernels and the one with its networks.
MODULES = {
    "voxelgrad": ("own_kernels", "networks"),
    "torch": ("torch_kernels", "torch_networks"),
    "onnxruntime": (None, "graph_peers"),
    "openvino": (None, "graph_peers"),
}
# Library: the module that sets up a CUDA device.
DEVICES = {"voxelgrad": "own_device", "torch": "torch_device"}


class Session:
    """What a worker has prepared."""

    def __init__(self, library: str) -> None:
        self.library = library
        self.passes: dict[str, Callable[[], object]] = {}
        self.host: HostRuns | None = None
        self.clock: Any = None
        self.runs: Any = None

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do what a line asks for."""
        if "prepare" in request:
            return self.prepare(request["prepare"], request["settings"])
        name = request["run"]
        return dict(self.runs.measure(name, self.passes[name]))

    def prepare(self, task: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
        """Build a case or a network and warm it up."""
        self.passes = {}  # the previous case's memory is free before the next one is built
        kernels, models = MODULES[self.library]
        settings = {**settings, "library": self.library}
        is_kernel = "case" in task
        module = _module(kernels if is_kernel else models)
        self.runs = self._runs(settings, is_kernel)
        if is_kernel:
            case = Case(**{**task["case"], "size": tuple(task["case"]["size"])})
            self.passes = module.prepare_kernel(case, settings)
        else:
            from voxelgrad.bench.networks import Network

            fields = task["network"]
            network = Network(**{**fields, "input_shape": tuple(fields["input_shape"])})
            self.passes = module.prepare_model(network, task["mode"], settings)
        for name, function in self.passes.items():
            self.runs.warm_up(name, function)
        return {"passes": list(self.passes)}

    def _runs(self, settings: dict[str, Any], is_kernel: bool) -> Any:
        """Return what times the passes, once the library is imported."""
        if settings.get("device") != "cuda":
            self.host = self.host or HostRuns()
            return self.host
        self.clock = self.clock or _module(DEVICES[self.library]).connect(settings)
        self.clock.free()
        # PyTorch tells nothing of a graph's memory but while it is recorded.
        is_recorded = self.library == "torch" and bool(
            settings.get("graph") or settings.get("compile")
        )
        return DeviceRuns(self.clock, is_kernel, is_recorded)


def _module(name: str | None) -> Any:
    return importlib.import_module(f"voxelgrad.bench.{name}")


def main() -> None:
    """Serve until standard input ends."""
    # Ctrl-C reaches every process of the terminal; the parent ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What libraries print must not come between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    session = Session(sys.argv[1])
    for line in sys.stdin:
        try:
            answer = session.answer(json.loads(line))
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()

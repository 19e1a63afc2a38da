"""One library in a process of its own: answers lines of JSON on standard input.

``python -m voxelgrad.bench.worker LIBRARY`` takes {"prepare": ...} and {"run": ...}; the answer to
a failure is {"error": text}.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from voxelgrad.bench.cases import Case
from voxelgrad.bench.timing import peak_bytes, time_once

# Library: the module with its kernels and the one with its networks.
MODULES = {
    "voxelgrad": ("own_kernels", "networks"),
    "torch": ("torch_kernels", "torch_networks"),
    "onnxruntime": (None, "graph_peers"),
    "openvino": (None, "graph_peers"),
}
_LEAST_SECONDS = 0.005  # of a run: shorter functions are called several times
_MOST_REPEATS = 1000


class Session:
    """What a worker has prepared."""

    def __init__(self, library: str) -> None:
        self.library = library
        self.passes: dict[str, Callable[[], object]] = {}
        self.repeats: dict[str, int] = {}
        self.imported = 0

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do what a line asks for."""
        if "prepare" in request:
            return self.prepare(request["prepare"], request["settings"])
        name = request["run"]
        seconds, faults = time_once(self.passes[name], self.repeats[name])
        peak = max(0, peak_bytes() - self.imported)
        return {"seconds": seconds, "faults": faults, "peak_bytes": peak}

    def prepare(self, task: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
        """Build a case or a network and warm it up."""
        self.passes = {}  # the previous case's memory is free before the next one is built
        kernels, models = MODULES[self.library]
        settings = {**settings, "library": self.library}
        module: Any = importlib.import_module(
            f"voxelgrad.bench.{kernels if 'case' in task else models}"
        )
        self.imported = self.imported or peak_bytes()
        if "case" in task:
            case = Case(**{**task["case"], "size": tuple(task["case"]["size"])})
            self.passes = module.prepare_kernel(case, settings)
        else:
            from voxelgrad.bench.networks import Network

            fields = task["network"]
            network = Network(**{**fields, "input_shape": tuple(fields["input_shape"])})
            self.passes = module.prepare_model(network, task["mode"], settings)
        for name, function in self.passes.items():
            function()
            seconds, _ = time_once(function)
            repeats = math.ceil(_LEAST_SECONDS / max(seconds, 1e-9))
            self.repeats[name] = min(max(repeats, 1), _MOST_REPEATS)
        return {"passes": list(self.passes)}


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

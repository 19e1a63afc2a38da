"""The parent's side: contenders, their worker processes, runs in turns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from voxelgrad.bench.timing import Timing

PEERS = ("torch", "onnxruntime", "openvino")
OWN = "voxelgrad"
OWN_COMPILED = "voxelgrad compiled"
# glibc's malloc gives large blocks back to the system, so that each step touches fresh pages; these
# settings make it keep them.
KEPT = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "100000000000",
    "MALLOC_TOP_PAD_": "268435456",
}
_PAUSE = 0.005  # seconds between two runs: the previous library's threads stop spinning


@dataclass(frozen=True)
class Contender:
    """One library with its settings.

    Attributes:
        name: As tables show it.
        library: voxelgrad, torch, onnxruntime or openvino.
        settings: What the library's module takes.
        environment: Variables of its process.
    """

    name: str
    library: str
    settings: Mapping[str, Any]
    environment: Mapping[str, str] = field(default_factory=dict)


def contenders(
    against: Sequence[str],
    threads: int,
    algorithm: str | None,
    compiled: Sequence[str],
    dtype: str,
) -> list[Contender]:
    """Return voxelgrad and the configurations of its peers on the CPU.

    Args:
        against: Peers.
        threads: Of every library.
        algorithm: Forces a convolution algorithm of voxelgrad.
        compiled: Modes of torch.compile that take part.
        dtype: Format of the images: float32 or bfloat16.

    Raises:
        ValueError: If a peer is unknown or not installed.
    """
    common = {"threads": threads, "dtype": dtype}
    found = [Contender(OWN, OWN, {**common, "algorithm": algorithm})]
    for peer in against:
        check_peer(peer)
        if peer != "torch":
            found.append(Contender(peer, peer, common))
            continue
        found.append(Contender("torch default", peer, {**common, "layout": "nchw"}))
        for layout in ("nchw", "channels_last"):
            settings = {**common, "layout": layout}
            found.append(Contender(f"torch {layout} kept", peer, settings, KEPT))
            for mode in compiled:
                label = "compile" if mode == "default" else f"compile {mode}"
                name = f"torch {label} {layout} kept"
                found.append(Contender(name, peer, {**settings, "compile": mode}, KEPT))
    return found


def check_peer(name: str) -> None:
    """Raise unless a peer is known and installed.

    Raises:
        ValueError: If it is not.
    """
    if name not in PEERS:
        raise ValueError(f"bench: --against {name!r} is unknown; choose from {', '.join(PEERS)}")
    needed = ("torch",) if name == "torch" else (name, "torch", "onnx")
    missing = [module for module in needed if find_spec(module) is None]
    if missing:
        raise ValueError(
            f"bench: --against {name} needs {' and '.join(missing)}; pip install "
            f"{' '.join(missing)}"
        )


def with_compiled(chosen: Sequence[Contender]) -> list[Contender]:
    """Return the contenders of networks: voxelgrad, its compiled steps, and the others."""
    own, *others = chosen
    compiled = replace(own, name=OWN_COMPILED, settings={**own.settings, "compile": True})
    return [own, compiled, *others]


class Worker:
    """A contender's process."""

    def __init__(self, contender: Contender) -> None:
        self.contender = contender
        package = str(Path(__file__).resolve().parents[2])
        paths = [package, os.environ.get("PYTHONPATH", "")]
        threads = str(contender.settings["threads"])
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(path for path in paths if path),
            "VOXELGRAD_NUM_THREADS": threads,
            "OMP_NUM_THREADS": threads,
            **contender.environment,
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "voxelgrad.bench.worker", contender.library],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Send a line and return the answer.

        Raises:
            RuntimeError: If the process has ended.
        """
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        try:
            print(json.dumps(request), file=process.stdin, flush=True)
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise RuntimeError(f"bench: the process of {self.contender.name} ended early")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


@contextmanager
def started(chosen: Sequence[Contender]) -> Iterator[list[Worker]]:
    """Run a worker for each contender inside the ``with`` block."""
    with ExitStack() as stack:
        workers = []
        for contender in chosen:
            workers.append(Worker(contender))
            stack.callback(workers[-1].close)
        yield workers


def measure(
    workers: Sequence[Worker], task: Mapping[str, Any], runs: int, tell: Callable[[str], None]
) -> dict[str, dict[str, Timing]]:
    """Run a task on all workers in turns, A B A B ..., pass by pass.

    Args:
        workers: Those that cannot do the task are left out, and ``tell`` says so.
        task: {"case": ...} or {"network": ..., "mode": ...}.
        runs: Of each worker and pass.
        tell: Takes progress, a line at a time.

    Returns:
        For each pass the timings of the contenders.
    """
    able: dict[str, list[Worker]] = {}
    for worker in workers:
        answer = worker.ask({"prepare": task, "settings": dict(worker.contender.settings)})
        if "error" in answer:
            tell(f"  {worker.contender.name}: left out: {answer['error']}")
        for name in answer.get("passes", ()):
            able.setdefault(name, []).append(worker)
    return {name: _take_turns(able[name], name, runs) for name in able}


def _take_turns(workers: Sequence[Worker], name: str, runs: int) -> dict[str, Timing]:
    answers: list[list[dict[str, Any]]] = [[] for _ in workers]
    for _ in range(runs):
        for worker, collected in zip(workers, answers, strict=True):
            time.sleep(_PAUSE)
            answer = worker.ask({"run": name})
            if "error" in answer:
                raise RuntimeError(f"bench: {worker.contender.name}: {answer['error']}")
            collected.append(answer)
    return {
        worker.contender.name: Timing(
            tuple(a["seconds"] for a in collected),
            tuple(a["faults"] for a in collected if "faults" in a),
            collected[-1]["peak_bytes"],
        )
        for worker, collected in zip(workers, answers, strict=True)
    }

"""Reads files in a process of its own, with limits on memory and time, and says how it went.

As a script it is that process: its argument is the module with the table of kinds; each line that
it reads is a kind and a path, each line that it writes is a verdict.
"""

from __future__ import annotations

import json
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

READ, REFUSED = "read", "refused"
MEMORY = 64 << 20  # bytes that reading one small file may take
SECONDS = 20  # that reading one small file may take, on a machine that has other work too
LONGEST_MESSAGE = 2000  # characters


def verdict(kind: Any, path: Path) -> str:
    """Read a file; return "read", "refused", or what went wrong."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # packages warn of what they then refuse
            kind.read(path)
    except BaseException as error:
        return _judged(kind, path, error)
    return READ


def _judged(kind: Any, path: Path, error: BaseException) -> str:
    text = " ".join(str(error).split())
    if any(isinstance(cause, MemoryError) or "bad_alloc" in str(cause) for cause in _causes(error)):
        return f"took more than {MEMORY >> 20} MiB ({type(error).__name__}: {text[:300]})"
    if type(error) not in kind.errors:
        return f"an undocumented {type(error).__name__}: {text[:300]}"
    if not text or len(text) > LONGEST_MESSAGE:
        return f"an error of {len(text)} characters: {text[:300]}"
    if kind.names_file and path.name not in text:
        return f"an error that does not name the file: {text[:300]}"
    return REFUSED


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


class Worker:
    """The process, started when it is needed and again after it has ended.

    Args:
        table: Module whose ``KINDS`` it reads.
        seconds: How long reading one file may take.
    """

    def __init__(self, table: str = "file_kinds", seconds: float = SECONDS) -> None:
        self._table, self._seconds = table, seconds
        self._process: subprocess.Popen[str] | None = None

    def verdict(self, kind: str, path: Path) -> str:
        """Return the verdict on a file; a crash and a hang are verdicts too."""
        process = self._running()
        assert process.stdin is not None and process.stdout is not None
        print(json.dumps([kind, str(path)]), file=process.stdin, flush=True)
        if not select.select([process.stdout], [], [], self._seconds)[0]:
            self.stop()
            return f"took more than {self._seconds:g} s"
        answer = process.stdout.readline()
        if answer:
            return str(json.loads(answer))
        code = process.wait()
        self.stop()
        return f"the process ended: {signal.Signals(-code).name if code < 0 else code}"

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
        self._process = None

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            command = [sys.executable, __file__, self._table]
            pipe = subprocess.PIPE
            self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
            assert self._process.stdout is not None
            if not self._process.stdout.readline():
                raise RuntimeError(f"the sound files of {self._table} were not read")
        return self._process


@contextmanager
def running_worker(*args: Any) -> Iterator[Worker]:
    """Give a worker and end its process after the block."""
    worker = Worker(*args)
    try:
        yield worker
    finally:
        worker.stop()


def available(kinds: Any) -> list[Any]:
    """Return the kinds whose packages are installed."""
    return [kind for kind in kinds if find_spec(kind.needs)]


def _warm_up(kinds: list[Any]) -> None:
    """Let the packages take what they keep, so that the limit is on what a file takes."""
    from voxelgrad.backends import cpu

    cpu.empty((1 << 25,))
    for kind in kinds:
        for path in kind.sound:
            with tempfile.TemporaryDirectory() as folder:
                kind.read(Path(shutil.copy(path, folder)))


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def main() -> None:
    """Answer until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    kinds = {kind.name: kind for kind in available(import_module(sys.argv[1]).KINDS)}
    _warm_up(list(kinds.values()))
    _limit_memory()
    os.dup2(silence, 2)
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        name, path = json.loads(line)
        print(json.dumps(verdict(kinds[name], Path(path))), file=answers, flush=True)


if __name__ == "__main__":
    main()

"""Readers that break the rule in every way, to see that the fuzzing notices."""

from __future__ import annotations

import ctypes
import time
from pathlib import Path

import numpy as np

from file_kinds import Kind


def _leak(path: Path) -> None:
    raise KeyError(path.name)


def _say_nothing(path: Path) -> None:
    raise ValueError


def _name_no_file(path: Path) -> None:
    raise ValueError("it is damaged")


def _talk(path: Path) -> None:
    raise ValueError(f"{path}: " + "damaged " * 1000)


def _take_memory(path: Path) -> None:
    try:
        np.empty(1 << 30)
    except MemoryError as error:
        raise ValueError(f"{path}: it is damaged") from error


def _crash(path: Path) -> None:
    ctypes.string_at(0)


def _hang(path: Path) -> None:
    time.sleep(600)


def _refuse(path: Path) -> None:
    raise ValueError(f"{path}: it is damaged")


KINDS = tuple(
    Kind(read.__name__, read, ".bin")
    for read in (_leak, _say_nothing, _name_no_file, _talk, _take_memory, _crash, _hang, _refuse)
)

"""Damage files at random and read them: one clear error each, no crash, no hang, no huge memory.

``python tests/fuzz_readers.py --minutes 30`` does so for that long and prints what it found; the
first files of each finding are kept. ``test_fuzz.py`` replays some files of every kind.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

import damage
from file_kinds import KINDS, Kind
from fuzz_worker import READ, REFUSED, available, running_worker

KEPT = 2  # files of each finding
Counts = Counter[tuple[str, str]]


def damaged_file(kind: Kind, seed: int, number: int) -> bytes:
    """Return the damaged file of a kind that belongs to a seed and a number."""
    rng = np.random.default_rng([seed, number])
    whole = _any(kind.sound, rng).read_bytes()
    other = _any(kind.sound + kind.found, rng).read_bytes()
    if kind.inside and rng.random() < 0.7:
        inside = kind.inside[int(rng.integers(len(kind.inside)))]
        return inside(whole, rng, lambda content: damage.damaged(content, other, rng))
    return damage.damaged(whole, other, rng)


def _any(paths: list[Path], rng: np.random.Generator) -> Path:
    return paths[int(rng.integers(len(paths)))]


class Findings:
    """Files that broke the rule: counted, and the first ones of each sort kept.

    Args:
        folder: Where they are kept; made when there is one.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sorts: Counter[str] = Counter()

    def add(self, kind: Kind, result: str, content: bytes) -> None:
        """Count a file, keep it if it is new of its sort, and say so."""
        sort = f"{kind.name} {re.sub(r'[0-9]+|[(].*', '', result)[:60]}"
        self._sorts[sort] += 1
        if self._sorts[sort] > KEPT:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        number = len(list(self._folder.glob(f"finding-{kind.name}-*")))
        path = self._folder / f"finding-{kind.name}-{number}{kind.ending}"
        path.write_bytes(content)
        print(f"{path}: {result}", flush=True)


def fuzz(minutes: float, seed: int, kinds: list[Kind], findings: Findings) -> Counts:
    """Damage and read until the time is over; return how often each kind had each verdict."""
    counts: Counts = Counter()
    end, number = time.monotonic() + 60 * minutes, 0
    with tempfile.TemporaryDirectory() as folder, running_worker() as worker:
        while time.monotonic() < end:
            kind = kinds[number % len(kinds)]
            content = damaged_file(kind, seed, number)
            path = Path(folder, f"damaged{kind.ending}")
            path.write_bytes(content)
            result = worker.verdict(kind.name, path)
            good = result in (READ, REFUSED)
            counts[kind.name, result if good else "broke the rule"] += 1
            if not good:
                findings.add(kind, result, content)
            number += 1
    return counts


def _table(kinds: list[Kind], counts: Counter[tuple[str, str]]) -> str:
    columns = (READ, REFUSED, "broke the rule")
    lines = [f"{'kind':20}" + "".join(f"{name:>16}" for name in columns)]
    for name in [kind.name for kind in kinds]:
        lines.append(f"{name:20}" + "".join(f"{counts[name, column]:16,}" for column in columns))
    totals = [sum(counts[kind.name, column] for kind in kinds) for column in columns]
    return "\n".join([*lines, f"{'all':20}" + "".join(f"{total:16,}" for total in totals)])


def main() -> int:
    """Fuzz for some minutes; return 1 if a file broke the rule."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0, help="the same seed damages the same files")
    parser.add_argument("--kinds", nargs="*", help="only these kinds of files")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"))
    args = parser.parse_args()
    kinds = [kind for kind in available(KINDS) if not args.kinds or kind.name in args.kinds]
    counts = fuzz(args.minutes, args.seed, kinds, Findings(args.keep))
    print(_table(kinds, counts))
    return int(any(verdict == "broke the rule" for _, verdict in counts))


if __name__ == "__main__":
    sys.exit(main())
